"""How a run is written.

Metrics are buffered and sent in a few large batches: a call costs far more than one more metric in it. Everything goes
by `clep.tracking.delivery`, so that a store in trouble costs a run nothing.
"""

import getpass
import logging
import math
import re
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from clep import interrupts
from clep.errors import ConfigError
from clep.tracking.address import run_link, shown
from clep.tracking.again import PARENT, how_to_go_on
from clep.tracking.delivery import Delivery
from clep.tracking.departed import process_tags
from clep.tracking.inputs import Input
from clep.tracking.reading import points_of
from clep.tracking.store import client_of, short
from clep.tracking.system import system_metrics

_BATCH, _VALUE_LENGTH = 1000, 6000  # MLflow's limits: metrics in a request, characters in a parameter

_SECONDS_BETWEEN = 10.0  # batches of a running run

DESCRIPTION_LENGTH = 7500  # of a run, in characters; MLflow cuts tags at 8 000

_NOTE = "mlflow.note.content"
_INDEX = re.compile(r"\[(\d+)\]")  # MLflow has no brackets in names: `threshold[0]` is recorded as `threshold.0`

_logger = logging.getLogger(__name__)


class Run:
    """One MLflow run, as a context manager.

    Leaving the block sends what is buffered and ends the run as FINISHED, as KILLED on Ctrl-C and `SystemExit`, or as
    FAILED with the tag `error` on any other exception, or if `failure` says why. Exceptions propagate.

    Args:
        uri: the store, as `tracking_uri` returns it.
        experiment_id: the experiment, as `prepare` returns it.
        name: its name in the UI.
        tags: name -> value; runs are searched by them.
        params: name -> value; `flatten` turns a configuration into parameters.
        parent_run_id: the run that this one belongs to; the description ends with a link to it.
        description: what the UI shows on its page, as Markdown.
        run_id: a run that has ended, to open it again under this name and with these tags; its parameters stay.
        goes_on: whether that run goes on where it stopped: what it has already is not sent again.

    Attributes:
        tags: the tags that it starts with.
        failure: set it to end the run as FAILED, with this as the tag `error`, though nothing is raised.
    """

    def __init__(
        self,
        uri: str,
        experiment_id: str,
        name: str,
        *,
        tags: Mapping[str, Any],
        params: Mapping[str, Any],
        parent_run_id: str | None = None,
        description: str = "",
        run_id: str = "",
        goes_on: bool = False,
    ) -> None:
        self._delivery = Delivery(uri, run_id)
        self._late = bool(parent_run_id)
        self.uri, self._experiment_id, self._name = uri, experiment_id, name
        self.tags = {"mlflow.source.name": "clep", "mlflow.user": _user(), **process_tags()}
        if parent_run_id:
            self.tags[PARENT] = parent_run_id
            description += (
                f"\n\nIt is one run of [many that belong together]({run_link(experiment_id, parent_run_id)})."
            )
        if description:
            self.tags[_NOTE] = description.strip()
        self.tags |= {key: str(value) for key, value in tags.items()}
        named = {_INDEX.sub(r".\1", key): str(value) for key, value in params.items()}
        self._params = named
        self._metrics: list[tuple[str, float, int, int]] = []
        self._system: Any = None
        self._sent = time.monotonic()
        self._goes_on = goes_on
        self._known: set[tuple[str, int]] = set()
        self.failure, self._killed = "", False

    @property
    def run_id(self) -> str:
        """MLflow's id of the run; empty before the block that creates it, and a key of its own until a store in trouble
        has created it."""
        return self._delivery.run_id

    @property
    def undelivered(self) -> int:
        """How much the store lacks of what was recorded; it waits in the folder of the run's state."""
        return self._delivery.waiting

    @property
    def lost(self) -> bool:
        """Whether the run has ended with something that neither its store nor a disk has taken."""
        return self._delivery.lost

    def __enter__(self) -> Self:
        if not self._late:
            interrupts.begin()
        if self.run_id:
            if self._goes_on:
                self._leave_out_known()
            self._reopen()
            return self
        with interrupts.held():  # a run that is made but unknown could never be closed
            self._delivery.create(self._experiment_id, self._name, self.tags, late=self._late)
        try:
            interrupts.check()
            self._system = system_metrics(self.run_id)
            self.flush()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def _reopen(self) -> None:
        self._delivery.send("reopen", name=self._name)
        own = {key: value for key, value in self.tags.items() if not key.startswith("mlflow.") or key == PARENT}
        for key, value in own.items():
            self._delivery.send("tag", key=key, value=value)

    def _leave_out_known(self) -> None:
        """Note which points and parameters the run has; the one stopped may have sent more than its checkpoint has."""
        if reason := self._delivery.deliver():
            raise ConfigError(
                f"tracking.uri: the MLflow store `{shown(self.uri)}` is in trouble ({reason}), so nobody knows what it "
                f"has of run {self.run_id}; try again later"
            )
        data = client_of(self.uri).get_run(self.run_id).data
        self._params = {name: value for name, value in self._params.items() if name not in data.params}
        for name in data.metrics:
            self._known |= {(name, step) for step in points_of(self.uri, self.run_id, name)}
        self.flush()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        interrupts.close()
        with interrupts.held():
            try:
                self._close(error)
            finally:
                tags = {"mlflow.runName": self._name} | self.tags
                again = "" if self._late else how_to_go_on(self.run_id, self.uri, tags)  # else the parent says it
                self._delivery.close(hurry=interrupts.pending() is not None, again=again)
        if error is None and self._killed:
            raise KeyboardInterrupt
        if error is None and not self._late:  # an interrupt from now on changes nothing that is stored
            interrupts.settle()

    def _close(self, error: BaseException | None) -> None:
        try:
            try:
                if self._system is not None:
                    self._system.finish()
                self.flush()
            except BaseException as lost:
                self._end(error or lost)
                raise
            self._end(error)
        except Exception as lost:
            if error is None:
                raise
            # The caller's exception is on its way and says more than a store that also failed.
            _logger.warning("Run %s is incomplete in `%s`: %s", self.run_id, shown(self.uri), short(lost))

    def _end(self, cause: BaseException | None) -> None:
        self._killed = isinstance(cause, KeyboardInterrupt | SystemExit) or interrupts.pending() is not None
        if self._killed:
            _end(self._delivery, "KILLED")
        elif cause is None:
            _end(self._delivery, "FAILED" if self.failure else "FINISHED", self.failure)
        else:
            self._keep_traceback(cause)
            _end(self._delivery, "FAILED", f"{type(cause).__name__}: {cause}")

    def _keep_traceback(self, cause: BaseException) -> None:
        """Store where the error came from; a store that fails must not hide the error itself."""
        try:
            self.text(shown("".join(traceback.format_exception(cause))), "traceback.txt")
        except Exception as lost:
            _logger.warning("The traceback of run %s is not in `%s`: %s", self.run_id, shown(self.uri), short(lost))

    def log(self, metrics: Mapping[str, float | None], step: int) -> None:
        """Buffer metrics of one step. None, NaN and infinities are left out: MLflow stores infinity as 1.8e308."""
        for name, value in metrics.items():
            self.log_series(name, [value], [step])

    def log_series(self, name: str, values: Iterable[float | None], steps: Iterable[int]) -> None:
        """Buffer the points of one metric, one step per value; leaves out what `log` leaves out."""
        now = int(time.time() * 1000)
        for value, step in zip(values, steps, strict=True):
            if value is not None and math.isfinite(value) and (name, int(step)) not in self._known:
                self._metrics.append((name, float(value), now, int(step)))
        if len(self._metrics) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Send what is buffered, and what was noted of the machine; if the store refuses it, it stays buffered."""
        while self._system is not None and self._system.taken:  # a thread of its own adds to them
            self._metrics.append(self._system.taken.popleft())
        if self._metrics or self._params:
            self._delivery.send("batch", metrics=self._metrics, params=self._params)
        self._metrics, self._params = [], {}
        self._sent = time.monotonic()

    def show(self) -> None:
        """Send what is buffered if the latest batch is old enough: nobody looks more often, and a batch costs."""
        if time.monotonic() - self._sent >= _SECONDS_BETWEEN:
            self.flush()

    def artifact(self, path: str | Path) -> None:
        """Store a copy of a file, or of a folder with all it holds, under its own name."""
        self._delivery.send("files", source=str(path), whole=False)

    def artifacts(self, folder: str | Path) -> None:
        """Store a copy of everything in a folder, folders in it included."""
        self._delivery.send("files", source=str(folder), whole=True)

    def inputs(self, data: Iterable[Input]) -> None:
        """Record the data sets that the run reads."""
        self._delivery.send("inputs", inputs=[each.to_json() for each in data])

    def describe(self, markdown: str) -> None:
        """Set the description that the UI shows on the page of this run."""
        self._delivery.send("tag", key=_NOTE, value=markdown[:DESCRIPTION_LENGTH])

    def text(self, text: str, name: str) -> None:
        """Store a text as the file `name`."""
        self._delivery.send("text", text=text, name=name)

    def register(self, name: str, folder: str) -> None:
        """Make the model of this run the newest version of a registered model, which is created if needed.

        Args:
            name: of the registered model.
            folder: the model's among the artifacts of the run.
        """
        self._delivery.send("register", name=name, folder=folder)

    def tag_experiment(self, key: str, value: str) -> None:
        """Set a tag of the experiment that the run is in."""
        self._delivery.send("view", experiment_id=self._experiment_id, key=key, value=value)


def end(uri: str, run_id: str, status: str, error: str = "") -> None:
    """Set the final status of a run, and tag an error; call it directly only for a run whose process died."""
    delivery = Delivery(uri, run_id)
    _end(delivery, status, error)
    delivery.close()


def _end(delivery: Delivery, status: str, error: str = "") -> None:
    if error:
        delivery.send("tag", key="error", value=shown(error)[:500])
    delivery.send("end", status=status, end_time=int(time.time() * 1000))


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """A nested configuration as MLflow parameters: dotted names, and values as text of at most 6 000 characters."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}.{name}": text for name, text in flatten(value).items()}
        else:
            flat[str(key)] = str(value)[:_VALUE_LENGTH]
    return flat


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name
        return "unknown"
