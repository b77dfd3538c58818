"""Spikes and synaptic operations, against counts by hand."""

from dataclasses import replace

import pytest
import torch

from clep.diagnostics.operations import Operations, SpikeMeter, Synapses, operations
from clep.equilibrium import ConvLayer, Network

CHAIN = [Synapses(0, 1, 15), Synapses(1, 2, 6), Synapses(2, 3, 4)]  # 5-3-2-2
UNITS = [5, 3, 2, 2]


def test_graded_signals_multiply_at_every_synapse_up_and_down_in_every_step_and_the_input_once():
    assert operations(CHAIN, UNITS, 10) == Operations(0.0, 15 + 10 * 2 * (6 + 4))
    assert operations(CHAIN[:1], UNITS, 10) == Operations(0.0, 15.0)


def test_a_spike_adds_at_each_synapse_of_its_neuron():
    """9 spikes of layer 1: 2 synapses up. 4 of layer 2: 3 down and 2 up. The graded output: 4 down in 10 steps."""
    done = operations(CHAIN, UNITS, 10, [9.0, 4.0])
    assert done == Operations(9 * 2 + 4 * 3 + 4 * 2, 15 + 10 * 4)
    assert done.total == 38 + 55
    assert operations(CHAIN, UNITS, 10, [0.0, 0.0]) == Operations(0.0, 15 + 10 * 4)


def test_neurons_that_fire_at_every_step_cost_as_many_operations_as_graded_ones():
    spikes = [10.0 * n for n in UNITS[1:3]]
    assert operations(CHAIN, UNITS, 10, spikes).total == operations(CHAIN, UNITS, 10).total


def test_a_link_past_a_layer_is_fed_by_both_of_its_ends():
    """1 -> 3 with 6 synapses: 2 more up for each spike of layer 1, 6 more down for the output in each step."""
    done = operations([*CHAIN, Synapses(1, 3, 6)], UNITS, 10, [9.0, 4.0])
    assert done == Operations(38 + 9 * 2, 55 + 10 * 6)


def test_energy_is_that_of_additions_and_multiplications():
    """0.9 pJ for an addition, 3.7 pJ for a product (32 bits, 45 nm; Horowitz 2014)."""
    assert Operations(1000.0, 0.0).nanojoules == pytest.approx(0.9)
    assert Operations(0.0, 1000.0).nanojoules == pytest.approx(4.6)


def test_synapses_of_a_convolution_are_its_products_before_pooling():
    """4 channels of 3 x 3 kernels on 2 channels of 8 x 8, which leave 6 x 6 positions; pooling is free."""
    network = Network([(2, 8, 8), ConvLayer(4, 3, pooling="average"), 10])
    assert [connection.synapses for connection in network.connections] == [4 * 2 * 9 * 36, 4 * 9 * 10]


def test_a_meter_averages_over_samples_and_forgets():
    """Batches of 2 and 6 samples count as 8, not as two; without hidden activity only graded signals cost."""
    network = Network([5, 3, 2], dynamics="bernoulli", free_steps=10, nudged_steps=10)
    meter = SpikeMeter()
    for samples, spikes in ((2, 4.0), (6, 8.0)):
        meter.look(replace(network.free_phase(torch.rand(samples, 5)), spikes=torch.tensor([spikes])))
    assert meter.take() == pytest.approx(
        {
            "energy/spikes_per_sample": 7.0,
            "energy/synaptic_operations": 7 * 2 + 15 + 10 * 6,
            "energy/nanojoules": 1e-3 * (0.9 * 14 + 4.6 * 75),
            "energy/synaptic_operations_of_rates": 15 + 10 * 2 * 6,
            "energy/nanojoules_of_rates": 1e-3 * 4.6 * 135,
        }
    )
    assert meter.take() == {}


def test_networks_of_rates_have_nothing_to_count():
    network, meter = Network([5, 3, 2]), SpikeMeter()
    meter.look(network.free_phase(torch.rand(4, 5)))
    assert meter.take() == {}
