"""Activations rho, by their names or by an import path."""

from clep.errors import ConfigError
from clep.imports import check_name, import_path
from clep.specs.neurons import NEURONS, Neuron

__all__ = ["NEURONS", "Neuron", "neuron_of"]


def neuron_of(name: str) -> Neuron:
    """The neuron of a name or of an import path `module:NEURON`.

    Raises:
        ConfigError: for an unknown name, or a path to something other than a `Neuron`.
    """
    if name in NEURONS:
        return NEURONS[name]
    check_name("neuron", name, NEURONS, "neuron")
    found = import_path(name, "neuron")
    if not isinstance(found, Neuron):
        raise ConfigError(f"neuron: `{name}` is a {type(found).__name__}, expected a `clep.equilibrium.Neuron`")
    return found
