"""Train one composed set of strategies on a class-incremental stream and record the run in MLflow."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

from clep import interrupts
from clep.build import build_stream, build_training, resolved
from clep.config import Config
from clep.measuring import ExperienceReport
from clep.randomness import reproducible
from clep.recording import record_experience, record_result, recorded
from clep.results import Result
from clep.training import TrainingResult


def run(
    config: Config,
    *,
    parent_run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    name: str = "",
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> Result:
    """Run the pipeline of a configuration.

    Args:
        config: what to run; `cells`, `seeds` and `workers` are ignored.
        parent_run_id: the MLflow run that this one belongs to.
        tags: more tags for the MLflow run.
        name: of the MLflow run; by default that of the configuration.
        on_progress: called with `{"run_id": ...}` at the start and `{"experience": i}` after each experience.

    Raises:
        ConfigError, DataError: before anything is trained.
        DivergenceError: if training diverges; the MLflow run is then FAILED and keeps everything up to that point.
        KeyboardInterrupt: on Ctrl-C; the MLflow run is then KILLED and keeps everything up to that point.
    """
    try:
        return _run(config, parent_run_id, tags or {}, name, on_progress or (lambda message: None))
    finally:
        # Lightning's trainer and its module refer to each other, so the data of a run stay in memory until the
        # garbage collector runs. It counts objects, not bytes: ten runs in one process held ten copies of MNIST.
        gc.collect()


def _run(
    config: Config,
    parent_run_id: str | None,
    tags: Mapping[str, str],
    name: str,
    tell: Callable[[dict[str, Any]], None],
) -> Result:
    started = time.perf_counter()
    with reproducible(config.seed, config.threads):
        config = resolved(config)
        stream = build_stream(config)
        training = build_training(config, stream)
        with recorded(config, stream, parent_run_id=parent_run_id, tags=tags, name=name) as record:
            tell({"run_id": record.run_id})

            def on_experience(experience: ExperienceReport, so_far: TrainingResult) -> None:
                record_experience(record, experience, so_far)
                tell({"experience": experience.index})

            trained = training.run(stream, on_experience)
            result = record_result(record, config, stream, training, trained, time.perf_counter() - started)
            interrupts.check()
            return result
