"""Options that make no sense together: one table of pure functions of specs.

A row returns the reason and what to set instead, or None if all is well. The configuration asks the table before torch
is imported, constructors when they make a part. Rows name the keys of the part; the caller puts the path in front.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clep import parts
from clep.checks import unknown
from clep.errors import ConfigError
from clep.specs.idle import IDLE, Idle
from clep.specs.layers import ConvLayer
from clep.specs.learner import LearnerSpec
from clep.specs.network import NetworkSpec
from clep.specs.neurons import FEEDFORWARD_ACTIVATIONS, NEURONS, Neuron, neuron_of


@dataclass(frozen=True)
class Setup:
    """What a row gets to see.

    Attributes:
        network: options of the network.
        convolutions: its convolutional layers.
        learner: options of the learner; `gradient` is the name of an estimate, or of the built-in one it derives from.
        layers: number of layers with weights; None if unknown.
    """

    network: NetworkSpec
    convolutions: Sequence[ConvLayer] = ()
    learner: LearnerSpec = LearnerSpec()
    layers: int | None = None

    @property
    def neuron(self) -> Neuron:
        """The activation; what is wrong with its name is said elsewhere."""
        try:
            return neuron_of(self.network.neuron, self.network.neuron_options)
        except ConfigError:
            return NEURONS["hard_sigmoid"]

    @property
    def pools_by_maximum(self) -> bool:
        """Whether any layer uses max pooling."""
        return any(layer.routes for layer in self.convolutions)

    @property
    def nudges(self) -> bool:
        """Whether the estimate has nudged phases."""
        return self.learner.gradient in ("linear", "cost", "cep")


Row = Callable[[Setup], str | None]
Table = dict[str, list[tuple[str, Row]]]

REFUSALS: Table = {
    "module": [],
    "feedforward": [],
    "autograd": [],
    "network": [],
    "gradient": [],
    "learner": [],
    "optimization": [],
}
"""Part -> (key, row).

The parts are an ordinary module, a feed-forward network and the learner of either, an equilibrium network, an estimate
in it, the loss and the optimiser that go with them, and the loss and the optimiser of any learner.
"""


def _refuses(part: str, key: str) -> Callable[[Row], Row]:
    def add(row: Row) -> Row:
        REFUSALS[part].append((key, row))
        return row

    return add


def problems(part: str, setup: Setup) -> Iterator[tuple[str, str]]:
    """Yield (key, reason) of every row of a part that refuses the setup."""
    return ((key, reason) for key, row in REFUSALS[part] if (reason := row(setup)) is not None)


def refuse(part: str, setup: Setup) -> None:
    """Refuse what makes no sense together.

    Args:
        part: a key of `REFUSALS`.
        setup: what to look at.

    Raises:
        ConfigError: with the key, the reason and what to set instead.
    """
    for key, reason in problems(part, setup):
        raise ConfigError(f"{key}: {reason}")


def idle(part: str, setup: Setup) -> Iterator[tuple[str, str]]:
    """Yield (path of the key, reason) of the options of a part that change nothing; see `clep.specs.idle`."""
    rows = (row for row in IDLE if row.reported and row.part == part)
    return ((f"{row.section}.{row.key}", reason) for row in rows if (reason := row.reason(setup)) is not None)


# ---------------------------------------------------------------- options that act only together with others


def _row_of(option: Idle) -> Row:
    def row(setup: Setup) -> str | None:
        return option.reason(setup)

    row.__name__, row.__doc__ = option.name, f"The option acts only {option.needs}."
    return row


for _option in IDLE:
    if not _option.reported:
        REFUSALS[_option.part].append((_option.key, _row_of(_option)))


@_refuses("gradient", "bptt_steps")
def no_more_steps_than_were_taken(setup: Setup) -> str | None:
    """BPTT follows at most the steps of the free phase."""
    steps, free = setup.learner.bptt_steps, setup.network.free_steps
    if setup.learner.gradient == "bptt" and steps is not None and steps > free:
        return f"expected at most network.free_steps={free}, the steps of the free phase, got {steps}; null is all"
    return None


# ---------------------------------------------------------------- networks that do not relax, and their learner


@_refuses("feedforward", "channels")
def feedforward_networks_are_dense(setup: Setup) -> str | None:
    """Convolutions are for equilibrium networks."""
    return "the feedforward network has only dense layers; leave it []" if setup.convolutions else None


@_refuses("feedforward", "neuron")
def feedforward_activations_are_their_own(setup: Setup) -> str | None:
    """The feed-forward network has other activations."""
    if setup.network.neuron not in FEEDFORWARD_ACTIVATIONS:
        return unknown(setup.network.neuron, FEEDFORWARD_ACTIVATIONS, "activation")
    return None


@_refuses("feedforward", "model")
def feedforward_networks_do_not_relax(setup: Setup) -> str | None:
    """Dynamics, feedback and read-outs are for equilibrium networks."""
    ignored = ("dynamics", "feedback", "residual_links", "inhibition", "readout")
    network = setup.network
    others = [f"{key}={getattr(network, key)}" for key in ignored if getattr(network, key) != NetworkSpec.default(key)]
    if others:
        return f"the feedforward network does not relax; leave out {', '.join(others)}, or use model=equilibrium"
    return None


@_refuses("autograd", "lr_scale")
def other_networks_have_one_learning_rate(setup: Setup) -> str | None:
    """Factors per layer are for equilibrium networks."""
    if setup.learner.lr_scale:
        return f"a network that does not relax has one learning rate; leave it [], got {setup.learner.lr_scale}"
    return None


# ---------------------------------------------------------------- a network


@_refuses("network", "neuron")
def activations_are_known(setup: Setup) -> str | None:
    """A neuron is a known name or an import path."""
    reason = None if setup.network.neuron in NEURONS else parts.refusal("neuron", setup.network.neuron)
    return reason and reason.removesuffix(".")


@_refuses("network", "dynamics")
def energies_need_symmetric_feedback(setup: Setup) -> str | None:
    """An energy exists only where feedback mirrors the forward weights."""
    network = setup.network
    if network.dynamics == "energy" and (network.feedback != "tied" or network.feedback_scale != 1.0):
        return (
            "`energy` needs the symmetric feedback of an energy (tied, scale 1), got "
            f"feedback={network.feedback}, feedback_scale={network.feedback_scale}; use dynamics=prototypical"
        )
    return None


@_refuses("network", "dynamics")
def branches_follow_no_spikes(setup: Setup) -> str | None:
    """The mean of a rectified sum of spikes is not the rectified sum of rates."""
    if setup.network.feedback == "dendritic" and setup.network.dynamics == "bernoulli":
        return (
            "the mean over spikes of a rectified sum is not the rectified sum of the rates; use dynamics=prototypical, "
            "or feedback=tied"
        )
    return None


@_refuses("network", "feedback_scale")
def branches_have_a_gain(setup: Setup) -> str | None:
    """Dendrites have their own factor."""
    if setup.network.feedback == "dendritic" and setup.network.feedback_scale != 1.0:
        return (
            "the factor on the feedback of dendrites is `dendrites.gain`; leave it 1.0, got "
            f"{setup.network.feedback_scale}"
        )
    return None


@_refuses("network", "residual_links")
def branches_join_neighbours(setup: Setup) -> str | None:
    """Links across layers are plain."""
    if setup.network.feedback == "dendritic" and setup.network.residual_links:
        links = setup.network.residual_links
        return f"links across layers have no branches; leave it 0, or use feedback=tied, got {links}"
    return None


@_refuses("network", "feedback")
def branches_join_dense_layers(setup: Setup) -> str | None:
    """Branches are not defined for convolutions."""
    if setup.network.feedback == "dendritic" and setup.convolutions:
        return "`dendritic` joins dense layers, and this network has convolutional ones; use feedback=tied or untied"
    return None


@_refuses("network", "dendrites")
def branches_need_dendritic_feedback(setup: Setup) -> str | None:
    """Options of branches do nothing in a network without them."""
    network = setup.network
    if network.feedback != "dendritic" and network.dendrites != NetworkSpec.default("dendrites"):
        return f"they belong to feedback=dendritic; set it, or leave them out, got feedback={network.feedback}"
    return None


@_refuses("network", "connection")
def own_connections_are_tied(setup: Setup) -> str | None:
    """Your own class decides about its feedback itself."""
    if setup.network.connection != "dense" and setup.network.feedback != "tied":
        return (
            f"your own connection brings its own feedback; leave feedback=tied, got feedback={setup.network.feedback}"
        )
    return None


@_refuses("network", "residual_links")
def links_span_hidden_layers(setup: Setup) -> str | None:
    """A link needs a hidden layer at each end."""
    span, hidden = setup.network.residual_links, (setup.layers or 1) - 1
    if span and setup.layers is not None and not 2 <= span < hidden:
        if hidden < 3:
            return f"expected 0 (a span of 2 needs 3 hidden layers, and this network has {hidden}), got {span}"
        return f"expected 0, or a span from 2 to {hidden - 1} between the {hidden} hidden layers, got {span}"
    return None


@_refuses("network", "residual_links")
def links_join_dense_layers(setup: Setup) -> str | None:
    """Links across layers are matrices between dense layers."""
    if setup.network.residual_links and setup.convolutions:
        return "they join dense layers, and this network has convolutional ones; leave it 0"
    return None


@_refuses("network", "dynamics")
def spikes_need_probabilities(setup: Setup) -> str | None:
    """States outside [0, 1] cannot be probabilities."""
    if setup.network.dynamics == "bernoulli" and not setup.neuron.probability:
        valid = ", ".join(name for name, neuron in NEURONS.items() if neuron.probability)
        return (
            f"`bernoulli` reads states as probabilities in [0, 1], which neuron={setup.network.neuron} leaves; use "
            f"one of {valid}"
        )
    return None


@_refuses("network", "tolerance")
def spikes_never_stand_still(setup: Setup) -> str | None:
    """A tolerance would never, or by chance, stop a phase."""
    if setup.network.dynamics == "bernoulli" and setup.network.tolerance > 0.0:
        return (
            "spiking neurons never stand still, so no residual can stop a phase; set tolerance=0, or "
            "dynamics=prototypical"
        )
    return None


@_refuses("network", "precision")
def spikes_need_full_precision(setup: Setup) -> str | None:
    """bfloat16 keeps only 8 bits."""
    if setup.network.dynamics == "bernoulli" and setup.network.precision != "full":
        return (
            f"{setup.network.precision} rounds probabilities and uniforms to 8 bits, more than the phases differ by; "
            "set precision=full, or dynamics=prototypical"
        )
    return None


@_refuses("network", "pooling")
def spikes_pool_by_averages(setup: Setup) -> str | None:
    """The maximum of spikes says nothing."""
    if setup.network.dynamics == "bernoulli" and setup.pools_by_maximum:
        return (
            "the maximum of a few spikes is nearly always 1, and its winner is drawn by lot; set pooling=average, or "
            "dynamics=prototypical"
        )
    return None


@_refuses("network", "average_steps")
def averages_fit_into_a_phase(setup: Setup) -> str | None:
    """A phase cannot be averaged over more steps than it has."""
    network = setup.network
    shortest = min(network.free_steps, network.nudged_steps)
    if network.dynamics == "bernoulli" and network.average_steps > shortest:
        return (
            f"expected an integer from 1 to {shortest}, the steps of the shortest phase "
            f"(free_steps={network.free_steps}, nudged_steps={network.nudged_steps}), got {network.average_steps}"
        )
    return None


# ---------------------------------------------------------------- a learner and its network


@_refuses("learner", "nudge")
def linear_nudging_is_inside(setup: Setup) -> str | None:
    """Outside the activation, linear nudging is not a vector-Jacobian product."""
    if setup.learner.gradient == "linear" and setup.learner.nudge == "outside":
        return (
            "`outside` does not work with gradient=linear: outside the activation the nudged phase loses rho' and is "
            "not the vector-Jacobian product; use `inside`, or gradient=cost"
        )
    return None


@_refuses("gradient", "nudge")
def energies_have_no_outside(setup: Setup) -> str | None:
    """Potentials take the nudge as it is."""
    if setup.nudges and setup.learner.nudge == "outside" and setup.network.dynamics == "energy":
        return "energy-based dynamics do not distinguish inside and outside; leave it `inside`"
    return None


@_refuses("gradient", "rule")
def predictive_has_one_second_phase(setup: Setup) -> str | None:
    """With two nudged phases, the presynaptic state would be ambiguous."""
    learner = setup.learner
    if setup.nudges and learner.rule == "predictive" and learner.phases in ("centered", "holomorphic"):
        return (
            "`predictive` needs a single phase that is compared with the free one, got "
            f"phases={learner.phases}; use phases=one_sided or gradient=clamped"
        )
    return None


@_refuses("gradient", "phases")
def branches_are_not_analytic(setup: Setup) -> str | None:
    """Rectified branches have no complex extension."""
    if setup.nudges and setup.learner.phases == "holomorphic" and setup.network.feedback == "dendritic":
        return "`holomorphic` cannot follow rectified branches; use `centered`"
    return None


@_refuses("gradient", "phases")
def holomorphic_needs_an_analytic_activation(setup: Setup) -> str | None:
    """Complex states need rho to be analytic."""
    if setup.nudges and setup.learner.phases == "holomorphic" and not setup.neuron.analytic:
        analytic = ", ".join(name for name, neuron in NEURONS.items() if neuron.analytic)
        return (
            f"`holomorphic` needs an analytic activation, got network.neuron={setup.network.neuron}; use one of "
            f"{analytic}"
        )
    return None


@_refuses("gradient", "phases")
def maxima_are_not_analytic(setup: Setup) -> str | None:
    """Max pooling has no complex extension."""
    if setup.nudges and setup.learner.phases == "holomorphic" and setup.pools_by_maximum:
        return "`holomorphic` needs analytic layers, and max pooling is not analytic; use network.pooling=average"
    return None


@_refuses("gradient", "phases")
def probabilities_are_real(setup: Setup) -> str | None:
    """Complex states are not probabilities."""
    if setup.nudges and setup.learner.phases == "holomorphic" and setup.network.dynamics == "bernoulli":
        return (
            "`holomorphic` takes states out of [0, 1], where they are no probabilities of firing; use phases=centered, "
            "or network.dynamics=prototypical"
        )
    return None


@_refuses("gradient", "start")
def probabilities_are_not_mirrored(setup: Setup) -> str | None:
    """The mirror image of a probability can leave [0, 1]."""
    if setup.nudges and setup.learner.start == "mirrored" and setup.network.dynamics == "bernoulli":
        return (
            "`mirrored` takes states out of [0, 1], where they are no probabilities of firing; use start=free, or "
            "network.dynamics=prototypical"
        )
    return None


@_refuses("gradient", "gradient")
def backpropagation_follows_every_step(setup: Setup) -> str | None:
    """BPTT differentiates a fixed number of full-precision steps."""
    if setup.learner.gradient == "bptt" and (setup.network.precision != "full" or setup.network.tolerance):
        return "`bptt` follows all steps in full precision; set network.precision=full and network.tolerance=0"
    return None


@_refuses("gradient", "bptt_steps")
def spikes_are_not_repeated(setup: Setup) -> str | None:
    """Two relaxations of one update would draw the same spikes."""
    learner = setup.learner
    if learner.gradient == "bptt" and learner.bptt_steps is not None and setup.network.dynamics == "bernoulli":
        return (
            "the spikes of the last steps would repeat those of the first; leave it null, or set "
            "network.dynamics=prototypical"
        )
    return None


@_refuses("learner", "loss")
def cost_nudging_of_states_is_squared(setup: Setup) -> str | None:
    """States between fixed bounds are not logits."""
    learner = setup.learner
    if learner.gradient in ("cost", "cep") and learner.loss == "cross_entropy" and setup.network.readout != "linear":
        return (
            "`cross_entropy` with cost nudging needs logits, and states between fixed bounds are not logits; set "
            "network.readout=linear, or gradient=linear, which takes any loss"
        )
    return None


@_refuses("learner", "gradient")
def clamping_is_squared_and_relaxes(setup: Setup) -> str | None:
    """CHL fixes the last state at the one-hot target."""
    learner = setup.learner
    if learner.gradient == "clamped" and (learner.loss != "mse" or setup.network.readout == "linear"):
        return (
            "`clamped` fixes the output layer at the one-hot target: it needs loss=mse and network.readout=state, got "
            f"loss={learner.loss}, network.readout={setup.network.readout}"
        )
    return None


@_refuses("gradient", "gradient")
def clamping_needs_reachable_targets(setup: Setup) -> str | None:
    """A target that a unit cannot reach is an error that never vanishes."""
    bounds = setup.neuron.bounds
    if setup.learner.gradient == "clamped" and bounds is not None and not bounds[0] <= 0.0 < 1.0 <= bounds[1]:
        return f"`clamped` fixes outputs at 0 and 1, which network.neuron={setup.network.neuron} cannot reach"
    return None


@_refuses("gradient", "phases")
def cep_has_real_phases(setup: Setup) -> str | None:
    """One step of a complex phase has no meaning of its own."""
    if setup.learner.gradient == "cep" and setup.learner.phases == "holomorphic":
        return (
            "C-EP compares a nudged state with the one a step before; use phases=one_sided, random_sign or centered, "
            "got holomorphic"
        )
    return None


@_refuses("gradient", "start")
def cep_starts_at_the_free_equilibrium(setup: Setup) -> str | None:
    """Both phases of C-EP advance side by side."""
    if setup.learner.gradient == "cep" and setup.learner.start == "mirrored":
        return "the phases of C-EP advance side by side, from the free equilibrium; use start=free, got mirrored"
    return None


@_refuses("gradient", "gradient")
def cep_has_no_readout(setup: Setup) -> str | None:
    """Single steps give no gradient for weights outside the dynamics."""
    if setup.learner.gradient == "cep" and setup.network.readout == "linear":
        return "`cep` has no update for a read-out; use network.readout=state"
    return None


@_refuses("gradient", "gradient")
def cep_compares_single_steps(setup: Setup) -> str | None:
    """With spikes, one step differs from the next by noise."""
    if setup.learner.gradient == "cep" and setup.network.dynamics == "bernoulli":
        return (
            "`cep` (C-EP) compares one step with the next; with spikes, the difference is noise; use gradient=cost, or "
            "network.dynamics=prototypical"
        )
    return None


@_refuses("gradient", "gradient")
def cep_needs_full_precision(setup: Setup) -> str | None:
    """Neighbouring steps differ by less than bfloat16 resolves."""
    if setup.learner.gradient == "cep" and setup.network.precision != "full":
        return "`cep` needs network.precision=full: its steps differ too little"
    return None


@_refuses("learner", "optimizer")
def cep_is_plain_sgd(setup: Setup) -> str | None:
    """Momentum or decay would act once per step of a phase."""
    learner = setup.learner
    plain = (learner.optimizer, learner.momentum, learner.weight_decay) == ("sgd", 0.0, 0.0)
    if learner.gradient == "cep" and not plain:
        return (
            "`cep` (C-EP) moves the weights at every nudged step, by plain SGD; set optimizer=sgd, momentum=0 and "
            f"weight_decay=0, got optimizer={learner.optimizer}, momentum={learner.momentum}, "
            f"weight_decay={learner.weight_decay}"
        )
    return None


@_refuses("learner", "gradient_clip")
def cep_has_no_one_gradient(setup: Setup) -> str | None:
    """The weights move many times per batch."""
    if setup.learner.gradient == "cep" and setup.learner.gradient_clip is not None:
        return "C-EP (gradient=cep) makes many small updates per batch and has no one gradient to clip; leave it null"
    return None


@_refuses("learner", "lr_scale")
def factors_match_layers(setup: Setup) -> str | None:
    """One factor per layer with weights."""
    factors = setup.learner.lr_scale
    if factors and setup.layers is not None and len(factors) != setup.layers:
        return (
            f"expected one factor for each of the {setup.layers} layers of the network, lowest first, or [] for all 1, "
            f"got {len(factors)}"
        )
    return None
