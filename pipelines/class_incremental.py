"""Train one composed set of strategies on a class-incremental stream and record the run in MLflow."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

from clep import clock, collecting, computed, interrupts, unfinished
from clep.build import build_stream, build_training, resolved
from clep.checkpoints import Saved
from clep.config import Config
from clep.identity import TAG
from clep.measuring import ExperienceReport
from clep.population.crew import Seat
from clep.population.training import take_seat
from clep.randomness import reproducible
from clep.ranks import Ranks, connected
from clep.recording import record_experience, record_result, recorded
from clep.results import Result
from clep.training import TrainingResult
from clep.unfinished import Start

Tell = Callable[[dict[str, Any]], None]


def run(
    config: Config,
    *,
    parent_run_id: str | None = None,
    experiment_id: str = "",
    tags: Mapping[str, str] | None = None,
    name: str = "",
    on_progress: Tell | None = None,
    start: Start | None = None,
    seat: Seat | None = None,
) -> Result:
    """Run the pipeline of a configuration.

    Args:
        config: what to run; `cells`, `seeds` and `workers` are ignored.
        parent_run_id: the MLflow run that this one belongs to.
        experiment_id: the MLflow experiment of that run, if it is known: then the run begins whatever the store does.
        tags: more tags for the MLflow run.
        name: of the MLflow run; by default that of the configuration.
        on_progress: called with `{"run_id": ..., "experiences": n}` at the start and `{"experience": i}` after each
            experience.
        start: where to begin; None for the beginning.
        seat: its place among runs that train in one pass; None to train alone.

    Raises:
        ConfigError, DataError: before anything is trained.
        DivergenceError: if training diverges; the MLflow run is then FAILED and keeps everything up to that point.
        KeyboardInterrupt: on Ctrl-C; the MLflow run is then KILLED and keeps everything up to that point.
    """
    try:
        start = start or Start()
        return _run(
            config, parent_run_id, experiment_id, tags, name, on_progress or (lambda message: None), start, seat
        )
    finally:
        # Lightning's trainer and its module refer to each other, so the data of a run stay in memory until the
        # garbage collector runs. It counts objects, not bytes: ten runs in one process held ten copies of MNIST.
        gc.collect()


def _run(
    config: Config,
    parent_run_id: str | None,
    experiment_id: str,
    tags: Mapping[str, str] | None,
    name: str,
    tell: Tell,
    start: Start,
    seat: Seat | None,
) -> Result:
    began = clock.now()
    collecting.libraries_are_loaded()
    with reproducible(config.seed, config.threads):
        config = resolved(config)
        computed.check(config.metrics, config.metric)
        stream = build_stream(config)
        training = build_training(config, stream)
        if seat is not None:
            take_seat(training, seat)
        with recorded(
            config,
            stream,
            parent_run_id=parent_run_id,
            experiment_id=experiment_id,
            tags=tags,
            name=name,
            run_id=start.run_id,
        ) as record:
            folder = unfinished.Folder(record.uri, record.run_id)
            known = unfinished.Record(
                run_id=record.run_id,
                config=unfinished.plain(config),
                identity={key: value for key, value in record.tags.items() if key.startswith(TAG)},
                name=name,
                tags=dict(tags or {}),
                parent_run_id=parent_run_id,
                started=time.time(),
                fork=dict(start.origin or {}),
            )
            with folder.held(known):
                checkpoints, origin = folder.checkpoints(config), start.origin or {}
                if checkpoints is not None and start.saved.after is not None and not start.run_id:
                    first = start.saved.after  # a fork has it as its own, to go on from if it is stopped
                    checkpoints.after_experience(origin["after"], lambda: first)
                tell({"run_id": record.run_id, "experiences": len(stream.train)})

                def on_experience(experience: ExperienceReport, so_far: TrainingResult) -> None:
                    record_experience(record, experience, so_far)
                    tell({"experience": experience.index})

                optimizer = origin.get("optimizer", True)
                collecting.as_usual()
                ranks, device = training.template.ranks, training.template.device.type
                with connected(ranks, device, _beside, config, start.saved, optimizer):
                    trained = training.resume(
                        start.saved, stream, on_experience, checkpoints=checkpoints, optimizer=optimizer
                    )
                earlier = sum(sum(report.seconds.values()) for report in trained.reports[: trained.restored])
                seconds = earlier + clock.now() - began
                result = record_result(record, config, stream, training, trained, seconds)
                interrupts.check()
        if not record.lost or folder.record() is None:  # otherwise it goes on once there is space, and is stored whole
            folder.clear(keep=config.checkpoint.keep == "all")
        return result


def _beside(ranks: Ranks, config: Config, saved: Saved, optimizer: bool) -> None:
    """What each further process of a learner on several devices does: train along, and record nothing."""
    with reproducible(config.seed, config.threads):
        stream = build_stream(config)
        build_training(config, stream, ranks).resume(saved, stream, optimizer=optimizer)
