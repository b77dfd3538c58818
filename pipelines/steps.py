"""Train a network, then measure how many relaxation steps its gradient needs."""

from clep import metrics
from clep.build import build_stream, build_training
from clep.config import Config, replace
from clep.diagnostics.steps import Steps, measure
from clep.equilibrium import Network
from clep.errors import ConfigError
from clep.randomness import reproducible

_SAMPLES = 200
_SMALL_BETA = 0.1  # measured in addition to the beta of the configuration


def run(config: Config) -> Steps:
    """Train the network of a configuration on all classes at once, then measure its gradient on 200 training samples.

    The strategies of the configuration are ignored, and phases are centered.

    Raises:
        ConfigError: for a network without an equilibrium gradient of its loss, or one that never settles (spikes).
    """
    _refuse(config)
    with reproducible(config.seed, config.threads):
        return _trained_and_measured(replace(config, strategies=["joint"]))


def _trained_and_measured(config: Config) -> Steps:
    stream = build_stream(config)
    training = build_training(config, stream)
    result = training.run(stream)

    learner = training.template.learner
    assert isinstance(learner.network, Network)
    trained = stream.joint().train[0].samples
    x, y = (part[:_SAMPLES].to(training.template.device) for part in (trained.x, trained.y))
    return measure(
        learner.network,
        learner.criterion,
        x,
        y,
        betas=(_SMALL_BETA, config.learner.beta),
        accuracy=metrics.seen_accuracy(result.matrix, result.sizes, learned_at=result.learned_at),
    )


def _refuse(config: Config) -> None:
    if config.network.model != "equilibrium" or config.learner.gradient not in ("linear", "cost"):
        raise ConfigError(
            "learner.gradient: steps are measured for equilibrium networks with `linear` or `cost` nudging, got "
            f"`{config.learner.gradient}` with network.model={config.network.model}"
        )
    if config.network.dynamics == "bernoulli":
        raise ConfigError(
            "network.dynamics: spikes never settle, so no number of steps is enough; measure their mean field instead, "
            "with network.dynamics=prototypical"
        )
