"""The results of a comparison that the store already holds, so that only the missing ones are run."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from clep import tracking
from clep.build import cell_tags
from clep.comparison.cells import Job
from clep.comparison.stored import artifact, code_of, version_of
from clep.identity import Identity
from clep.results import FILE, Result
from clep.tracking import StoredRun

JOB_TAG = "claim_job"
"""The tag that marks the run of a job, with the digest of its identity when it was planned.

Jobs of `clep compare` have it too. Its name is older than theirs, from when only claims had jobs; another name would
lose the runs that stores already hold.
"""

SETTINGS_TAG = "clep.settings"
"""The tag of a run for what it is of apart from code; see `clep.build.settings`."""

_ADVICE = " (tracking.reuse=any_code takes such results as they are)"


class _Stored(NamedTuple):
    """A run of a job that has ended, and what it is of; None for a run of a version that did not record it."""

    run: StoredRun
    identity: Identity | None


class Ledger:
    """The jobs that a store holds, found by their identities.

    A job counts as done if the store has a finished run of the same configuration, data, plug-ins and code of clep; see
    `clep.identity`. What such a run lacks to count is said by `stale`.

    Args:
        uri, experiment_id: the store, as returned by `tracking.prepare`.
        resume: whether to look for runs at all; otherwise every job is missing.
        with_diverged: whether a run whose training diverged also counts as done.
        known: results of a comparison that is added to: they are found by cell and seed.
        any_code: whether a run of another version or commit of clep also counts as done.

    Attributes:
        reused: whether `result` has found any.
        resumes: whether a missing job may go on from where a run of it was stopped.
    """

    def __init__(
        self,
        uri: str,
        experiment_id: str,
        *,
        resume: bool = True,
        with_diverged: bool = False,
        known: Iterable[Result] = (),
        any_code: bool = False,
    ) -> None:
        self.uri, self.experiment_id = uri, experiment_id
        self.reused, self.resumes = False, resume
        self._any_code = any_code
        finished = tracking.finished(uri, experiment_id, JOB_TAG) if resume else {}
        diverged = tracking.diverged(uri, experiment_id, JOB_TAG) if resume and with_diverged else {}
        self._stored = [_Stored(run, Identity.from_tags(run.tags)) for run in (*finished.values(), *diverged.values())]
        by_id = {stored.run.run_id: stored for stored in self._stored}
        self._known = {
            (result.label, result.seed): (result, by_id[result.run_id]) for result in known if result.run_id in by_id
        }
        self._by_configuration: dict[str, list[_Stored]] = {}
        for stored in self._stored:
            if stored.identity is not None:
                self._by_configuration.setdefault(stored.identity.configuration, []).append(stored)

    def holds(self, job: Job) -> bool:
        """Whether `result` has a result of a job."""
        return self._done(job) is not None

    def result(self, job: Job) -> Result | None:
        """The stored result of a job; None if it is missing."""
        stored = self._done(job)
        if stored is None:
            return None
        self.reused = True
        known = self._known.get(job.place)
        if known is not None and known[1] is stored:
            return known[0]
        if stored.run.status == "FINISHED":
            found = Result.from_json(json.loads(artifact(self.uri, stored.run.run_id, FILE)))
            return replace(found, run_id=stored.run.run_id, tracking_uri=self.uri)  # it was stored without a password
        return Result.of(job.config, self.uri, stored.run.run_id, "FAILED", error=stored.run.tags["error"])

    def stale(self, jobs: Iterable[Job]) -> list[str]:
        """Why stored results of these jobs do not count: one text for each kind of change, with the number of runs.

        Args:
            jobs: the jobs; those that are done, or that were never run, add nothing.
        """
        counted = Counter(reason for job in jobs if self._done(job) is None for reason in self._reasons(job))
        return [
            f"{text}; {count} run{'s' * (count > 1)} will be trained again{advice}"
            for (text, advice), count in counted.items()
        ]

    def taken_over(self, jobs: Iterable[Job]) -> str:
        """How many results of these jobs are of other code of clep, in a sentence; empty if none is."""
        done = [(job, stored) for job in jobs if (stored := self._done(job)) is not None]
        count = sum(stored.identity is None or stored.identity.code != job.identity.code for job, stored in done)
        return f"{count} of the results are of other code of clep (tracking.reuse=any_code)." if count else ""

    def code(self, jobs: Iterable[Job]) -> list[str]:
        """Version and commit behind the results of these jobs, each once; for a missing job, those of now."""
        now = tracking.provenance()
        found = [self._done(job) for job in jobs]
        return sorted({version_of(now if stored is None else stored.run.tags) for stored in found})

    def origin(self, job: Job) -> dict[str, str]:
        """Where the result of a job is from: its `code`, and its `settings`, empty if they are not known.

        They are those of the job, except for a run of other code, which may have had other defaults.
        """
        stored = self._done(job)
        if stored is None:
            return {"code": code_of(tracking.provenance_once()), "settings": job.settings}
        usual = job.settings if stored.identity == job.identity else ""
        return {"code": code_of(stored.run.tags), "settings": stored.run.tags.get(SETTINGS_TAG, usual)}

    def tags(self, job: Job) -> dict[str, str]:
        """Tags for finding the run of a job again."""
        cell = cell_tags(job.config, job.cell, job.identity)
        found = {JOB_TAG: job.identity.digest, "cell": job.cell, SETTINGS_TAG: job.settings}
        return {**found, **cell, **job.identity.tags}

    def _done(self, job: Job) -> _Stored | None:
        """The stored run whose result is that of a job."""
        candidates = [*self._candidates(job)]
        same = (stored for stored in candidates if stored.identity == job.identity)
        near = (stored for stored in candidates if self._any_code and self._is_of_other_code(stored, job))
        return next(same, None) or next(near, None)

    def _candidates(self, job: Job) -> Iterator[_Stored]:
        """Runs that could have the result of a job: the known one, then those of its configuration, latest first."""
        if (known := self._known.get(job.place)) is not None:
            yield known[1]
        yield from self._by_configuration.get(job.identity.configuration, ())

    def _is_of_other_code(self, stored: _Stored, job: Job) -> bool:
        """Whether nothing but clep's own code differs, as far as is known."""
        return stored.identity is None or job.identity.changed(stored.identity) == ["code"]

    def _reasons(self, job: Job) -> list[tuple[str, str]]:
        """Why the latest stored run of a job does not count, each with what to do about it."""
        for stored in self._candidates(job):
            if stored.identity is not None:
                advice = _ADVICE if self._is_of_other_code(stored, job) else ""
                return [(text, advice) for text in job.identity.differences(stored.identity)]
        told = {"cell": job.cell, "seed": str(job.config.seed), "stream": job.config.stream.name}
        unknown = (stored.run.tags for stored in self._stored if stored.identity is None)
        if any(told.items() <= tags.items() for tags in unknown):
            return [("stored results are of an earlier version, which did not record of which data and code", "")]
        return []
