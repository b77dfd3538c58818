"""Several trainings of one architecture, each on its own stream, in one pass."""

from collections.abc import Sequence

from clep.population.admission import reasons
from clep.population.asking import Seat
from clep.population.crew import Crew, Outcome
from clep.population.member import Member
from clep.strategy import Strategy
from clep.streams import Stream
from clep.training import OnExperience, Training


def train_together(
    trainings: Sequence[Training], streams: Sequence[Stream], on_experience: Sequence[OnExperience | None] = ()
) -> list[Outcome]:
    """Run each training on its stream, all in step, as `Training.run` would run it alone.

    Each keeps its own weights, batches, optimiser, strategies and generators; the updates of those that are of one kind
    are computed as one. Sums are in another order than alone, so results differ by rounding. One that cannot be
    computed with others trains by itself.

    Args:
        trainings: fresh ones, each with its own learner and strategies.
        streams: one for each.
        on_experience: for each, what to call after an experience; none if empty.

    Returns:
        How each ended, with its `TrainingResult`; an error ends its own training only.

    Raises:
        KeyboardInterrupt: on Ctrl-C.

    Example:
        >>> import clep
        >>> streams = [clep.stream("digits", experiences=2, samples_per_experience=32, seed=seed) for seed in (0, 1)]
        >>> trainings = [clep.Training(clep.Learner(clep.Network([64, 16, 10])), epochs=1, seed=s) for s in (0, 1)]
        >>> [outcome.value.matrix.shape for outcome in train_together(trainings, streams)]
        [(2, 2), (2, 2)]
    """
    called = on_experience or [None] * len(trainings)
    seats = [Seat() for _ in trainings]

    def job(training: Training, stream: Stream, call: OnExperience | None) -> object:
        def run(seat: Seat) -> object:
            take_seat(training, seat)
            return training.run(stream, call)

        return run

    jobs = [job(*given) for given in zip(trainings, streams, called, strict=True)]
    return Crew(jobs, seats).run()  # type: ignore[arg-type]


def take_seat(training: Training, seat: Seat) -> None:
    """Let a training go in step with others, if its updates can be computed with theirs.

    Args:
        training: a fresh one.
        seat: its place.
    """
    if not draws_globally(training):
        seat.draws = None
    if next(reasons(training.template.learner, training.template.trainer_arguments), None) is None:
        training.template.fit = Member(seat)


def draws_globally(training: Training) -> bool:
    """Whether a strategy may draw from the global generators while a stream is learned.

    Args:
        training: any training.
    """
    own = [s for s in training.strategies if isinstance(s, Strategy) and type(s).__module__.startswith("clep.")]
    return len(own) < len(training.strategies) or any(strategy.draws_globally for strategy in own)
