"""The results of a comparison that the store already holds, so that only the missing ones are run."""

import json
from collections.abc import Iterable
from dataclasses import replace

from clep import tracking
from clep.build import cell_tags
from clep.comparison.cells import Job
from clep.comparison.stored import artifact, version_of
from clep.results import FILE, Result

JOB_TAG = "claim_job"
"""The tag that holds the fingerprint of a run's job.

Jobs of `clep compare` have it too. Its name is older than theirs, from when only claims had jobs; another name would
lose the runs that stores already hold.
"""


class Ledger:
    """The jobs that a store holds, found by the fingerprints of their configurations.

    A job counts as done if the store has a finished run with the same resolved configuration and version of clep. After
    other changes, such as to the code of a method, use a new store.

    Args:
        uri, experiment_id: the store, as returned by `tracking.prepare`.
        resume: whether to look for runs at all; otherwise every job is missing.
        with_diverged: whether a run whose training diverged also counts as done.
        known: results that count as done whatever the version of clep: those of a comparison that is added to.

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
    ) -> None:
        self.uri, self.experiment_id = uri, experiment_id
        self._known = {(result.label, result.seed): result for result in known}
        self.reused, self.resumes = False, resume
        self._finished = tracking.finished(uri, experiment_id, JOB_TAG) if resume else {}
        self._diverged = tracking.diverged(uri, experiment_id, JOB_TAG) if resume and with_diverged else {}

    def result(self, job: Job) -> Result | None:
        """The stored result of a job; None if it is missing."""
        if (known := self._known.get((job.cell, job.config.seed))) is not None:
            self.reused = True
            return known
        if (finished := self._finished.get(job.fingerprint)) is not None:
            self.reused = True
            stored = Result.from_json(json.loads(artifact(self.uri, finished.run_id, FILE)))
            return replace(stored, run_id=finished.run_id, tracking_uri=self.uri)  # it was stored without a password
        if (gone := self._diverged.get(job.fingerprint)) is not None:
            self.reused = True
            return Result.of(job.config, self.uri, gone.run_id, "FAILED", error=gone.tags["error"])
        return None

    def code(self, jobs: Iterable[Job]) -> list[str]:
        """Version and commit behind the results of these jobs, each once; for a missing job, those of now."""
        stored = self._diverged | self._finished
        now = tracking.provenance()
        keys = [job.fingerprint for job in jobs]
        return sorted({version_of(stored[key].tags if key in stored else now) for key in keys})

    def tags(self, job: Job) -> dict[str, str]:
        """Tags for finding the run of a job again."""
        return {JOB_TAG: job.fingerprint, "cell": job.cell, **cell_tags(job.config, job.cell)}
