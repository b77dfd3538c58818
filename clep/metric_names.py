"""The metrics of a run by name: what each one means, and what its steps count.

A constant holds the plain name. Metrics per layer or experience have a named field:
`TRAIN_FEEDBACK_ANGLE.format(layer=2)`. A metric that only one file uses may be registered there, by `metric`.
"""

import re
from dataclasses import dataclass

from clep.errors import ConfigError

EXPERIENCE = "index of the experience just trained"
END = "always 0"
EPOCH = "epochs since the start"
UPDATE = "updates since the start"
FREE_STEP = "step of a free phase"
PIPELINE = "pipeline"


@dataclass(frozen=True)
class Metric:
    """One metric of a run.

    Attributes:
        name: its name in MLflow, with fields such as `{layer}`.
        meaning: what it measures, in one line.
        step: what its steps count.
        by: who logs it: `pipeline`, or the name of a strategy.
    """

    name: str
    meaning: str
    step: str = EXPERIENCE
    by: str = PIPELINE

    @property
    def shown(self) -> str:
        """The name with its fields in angle brackets, as a page shows it."""
        return re.sub(r"\{(\w+)[^}]*\}", r"<\1>", self.name)

    def matches(self, name: str) -> bool:
        """Whether `name` is this metric, for some layer or experience."""
        return re.fullmatch(re.sub(r"\\\{.*?\\\}", r"\\w+", re.escape(self.name)), name) is not None


METRICS: dict[str, Metric] = {}
"""Every registered metric, by its name."""


def metric(name: str, meaning: str, step: str = EXPERIENCE, by: str = PIPELINE) -> str:
    """Register a metric and return its name.

    Raises:
        ValueError: if the name is taken.
    """
    if name in METRICS:
        raise ValueError(f"the metric `{name}` is registered twice")
    METRICS[name] = Metric(name, meaning, step, by)
    return name


def of_pipeline(name: str) -> Metric | None:
    """The metric of the pipeline that bears a name, for some layer or experience; None if there is none.

    Example:
        >>> of_pipeline("accuracy/experience_03").shown, of_pipeline("dream/hits")
        ('accuracy/experience_<experience>', None)
    """
    return next((m for m in METRICS.values() if m.by == PIPELINE and m.matches(name)), None)


def refuse_reserved(name: str, logger: str) -> None:
    """Refuse a strategy's metric that would overwrite one of the pipeline's own, or whose name MLflow cannot store.

    Args:
        name: what the strategy logs.
        logger: class name of the strategy.

    Raises:
        ConfigError: with the meaning of the pipeline's metric and a free name, or with what a name may hold.

    Example:
        >>> refuse_reserved("accuracy/seen", "MyStrategy")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: strategies: MyStrategy logs `accuracy/seen`, a name of the pipeline (accuracy on all \
evaluation samples of the experiences seen so far); log it as `my_strategy/accuracy_seen`
    """
    parts = name.split("/")
    if not re.fullmatch(r"[\w\-. :/]{1,250}", name, re.ASCII) or any(part in ("", ".", "..") for part in parts):
        raise ConfigError(
            f"strategies: {logger} logs `{name}`, a name that MLflow cannot store; use letters, digits, `_`, `-`, `.`, "
            "`:` and spaces, with single slashes between them, at most 250 characters"
        )
    if (taken := of_pipeline(name)) is not None:
        own = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", logger).lower()
        raise ConfigError(
            f"strategies: {logger} logs `{name}`, a name of the pipeline ({taken.meaning}); log it as "
            f"`{own}/{name.replace('/', '_')}`"
        )


# R[i, j] is the accuracy on experience j after experience i and its consolidation, R'[i, j] that before its
# consolidation; see `clep.metrics`.
ACCURACY_SEEN = metric("accuracy/seen", "accuracy on all evaluation samples of the experiences seen so far")
ACCURACY_SEEN_BY_MEANS = metric(
    "accuracy/seen_by_hidden_means",
    "the same if the answer were the nearest class mean of states in the highest hidden layer, of 100 training samples "
    "a class; where it stays above `accuracy/seen`, the outputs forgot what hidden states still tell apart",
)
ACCURACY_EPOCH = metric(
    "accuracy/epoch", "`accuracy/seen` after each epoch, with `learner.evaluate_epochs=true`", EPOCH
)
ACCURACY_AVERAGE = metric("accuracy/average", "mean accuracy on the experiences seen so far")
ACCURACY_LEARNED = metric("accuracy/learned", "mean accuracy on each experience right after it, R[j, j]")
ACCURACY_LEARNED_BEFORE = metric(
    "accuracy/learned_before_consolidation", "the same, before the consolidation of each experience"
)
ACCURACY_EXPERIENCE = metric("accuracy/experience_{experience:02d}", "accuracy on one experience, R[i, j]")
FORGETTING_AVERAGE = metric("forgetting/average", "mean of R[j, j] - R[i, j] over the earlier experiences")
FORGETTING_EXPERIENCE = metric(
    "forgetting/experience_{experience:02d}",
    "how much one earlier experience lost since it was trained and consolidated, R[j, j] - R[i, j]",
)
FORGETTING_SINCE_TRAINING_AVERAGE = metric(
    "forgetting_since_training/average",
    "mean of R'[j, j] - R[i, j] over the earlier experiences; R' is measured before consolidation",
)
FORGETTING_SINCE_TRAINING_EXPERIENCE = metric(
    "forgetting_since_training/experience_{experience:02d}",
    "how much of what training taught about one earlier experience is gone, R'[j, j] - R[i, j]",
)
FORGETTING_MAX_AVERAGE = metric(
    "forgetting/max_average", "mean loss of the earlier experiences against their best accuracy so far"
)
BACKWARD_TRANSFER = metric("backward_transfer", "mean of R[i, j] - R[j, j] over the earlier experiences")
FORWARD_TRANSFER = metric(
    "forward_transfer", "mean gain on an experience before it is trained, against the untrained network"
)

CONSOLIDATION_ACCURACY_BEFORE = metric(
    "consolidation/accuracy_before", "`accuracy/seen` before the strategies consolidate"
)
CONSOLIDATION_ACCURACY_AFTER = metric(
    "consolidation/accuracy_after", "`accuracy/seen` after the strategies consolidate"
)
SLEEP_ACCURACY_BEFORE = metric("sleep/accuracy_before", "`accuracy/seen` before sleep")
SLEEP_ACCURACY_AFTER = metric("sleep/accuracy_after", "`accuracy/seen` after sleep")
SLEEP_FIRING_RATE = metric(
    "sleep/firing_rate_layer_{layer}", "mean spikes per neuron and step of sleep", by="sleep_replay"
)
SLEEP_STEPS = metric("sleep/steps", "steps of a sleep that ends by itself", by="sleep_replay")
SLEEP_OUTPUT_FACTOR = metric(
    "sleep/output_factor", "what sleep leaves of the synapses on the output unit that answered most", by="sleep_replay"
)
SLEEP_WEIGHT_CHANGE = metric(
    "sleep/weight_change_layer_{layer}",
    "norm of the weights' change in sleep, over their norm before",
    by="sleep_replay",
)
SLEEP_RESIDUAL = metric(
    "sleep/residual_{when}", "residual of a free phase on the same batch, before and after sleep", by="sleep_replay"
)
ADAPTATION_UPDATE_NORM = metric(
    "adaptation/update_norm_{when}",
    "mean norm of the update, before and after the states adapt",
    by="neuronal_adaptation",
)

MEMORY_EXEMPLARS = metric("memory/exemplars", "stored samples")
MEMORY_EXEMPLAR_BYTES = metric("memory/exemplar_bytes", "size of the stored samples")
MEMORY_STATISTICS_BYTES = metric("memory/statistics_bytes", "size of everything else that strategies keep of the past")

TRAIN_LOSS = metric("train/loss", "mean loss of a few updates", UPDATE)
TRAIN_ACCURACY = metric("train/accuracy", "mean accuracy on the batches of a few updates", UPDATE)
TRAIN_RESIDUAL = metric("train/residual", "residual of the free phase of the latest training batch")
TRAIN_FREE_STEPS = metric("train/free_steps", "steps that the free phase of the latest training batch took")
TRAIN_UNSETTLED = metric("train/unsettled", "share of training batches whose free phase oscillated or diverged")
TRAIN_FEEDBACK_ANGLE = metric(
    "train/feedback_angle_layer_{layer}", "degrees between forward and untied feedback weights"
)
VALIDATION_LOSS = metric("validation/loss", "loss on validation batches, in a plain Lightning fit", EPOCH)
VALIDATION_ACCURACY = metric("validation/accuracy", "accuracy on validation batches, in a plain Lightning fit", EPOCH)
TEST_LOSS = metric("test/loss", "loss on test batches, in a plain Lightning test", END)
TEST_ACCURACY = metric("test/accuracy", "accuracy on test batches, in a plain Lightning test", END)

ENERGY_SPIKES = metric("energy/spikes_per_sample", "spikes of all hidden units in a free phase")
ENERGY_OPERATIONS = metric(
    "energy/synaptic_operations", "additions and multiply-additions per sample in a free phase with spikes"
)
ENERGY_NANOJOULES = metric("energy/nanojoules", "energy of these operations (45 nm; Horowitz 2014)")
ENERGY_OPERATIONS_OF_RATES = metric(
    "energy/synaptic_operations_of_rates", "the same operations if all signals were graded"
)
ENERGY_NANOJOULES_OF_RATES = metric("energy/nanojoules_of_rates", "the same energy if all signals were graded")

HIDDEN_ACTIVITY = metric(
    "hidden/{measure}_layer_{layer}",
    "`magnitude` (mean of |s|) and `participation` (effective dimensions) of a hidden layer",
    FREE_STEP,
)

TIME_TRAIN = metric("time/train_seconds", "wall time of training")
TIME_CONSOLIDATION = metric("time/consolidation_seconds", "wall time of consolidation")
TIME_EVAL = metric("time/eval_seconds", "wall time of the evaluations")

FINAL_ACCURACY = metric("final/accuracy", "`accuracy/seen` at the end", END)
FINAL_FORGETTING_SINCE_TRAINING = metric(
    "final/forgetting_since_training", "`forgetting_since_training/average` at the end", END
)
FINAL_FORGETTING = metric("final/forgetting", "`forgetting/average` at the end", END)
FINAL_BACKWARD_TRANSFER = metric("final/backward_transfer", "`backward_transfer` at the end", END)
FINAL_LEARNED_IN_TRAINING = metric(
    "final/learned_in_training", "`accuracy/learned_before_consolidation` at the end", END
)
FINAL_LEARNED_ACCURACY = metric("final/learned_accuracy", "`accuracy/learned` at the end", END)

CELL = metric(
    "cell/{cell}/{number}",
    "in the parent run of a comparison: `seeds`, `learned_nothing`, and of each measure its mean, sd, low, high and n "
    "over the seeds, and the same of its difference to the baseline, with `effect` and `p`",
    END,
)

TUNE_ACCURACY = metric("tune/accuracy", "mean validation accuracy of a trial over its seeds", END)
TUNE_ACCURACY_PER_SEED = metric("tune/accuracy_per_seed", "validation accuracy of a trial", "index of the seed")
