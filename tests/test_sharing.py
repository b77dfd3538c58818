"""What the processes of one learner share of an update; that they make the same one is in `test_ranks`."""

import pytest
import torch
from avalanche.training.plugins import ReplayPlugin
from clep.strategies.mir import MIR

import clep
from clep.equilibrium import Adaptation, CostNudging, LinearNudging
from clep.errors import ConfigError
from clep.ranks import Ranks
from clep.sharing import Sharing, sharing_of

STREAM = {"experiences": 2, "samples_per_experience": 21, "class_order": "fixed", "evaluation_samples": 20}


class Mute(Ranks):
    """A process that hears nothing of the others."""

    agrees = True

    def sum(self, tensor):
        return tensor

    def largest(self, value):
        return value

    def same(self, values):
        return self.agrees

    def agree(self, module):
        pass


class Disagreeing(Mute):
    agrees = False


@pytest.mark.parametrize("further", [1, 2, 7])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_means_over_the_batch_and_beside_it_add_up_to_those_of_one_process(size, further):
    """Shares times weights times means of the parts; three processes, some of them with nothing."""
    batch, beside = torch.rand(size, dtype=torch.float64), torch.rand(further, dtype=torch.float64)
    of_batch, of_others, of_first = 0.0, 0.0, 0.0
    first = batch[: (size + 1) // 2]
    for rank in range(3):
        sharing = Sharing(Ranks(rank, 3))
        (part,) = sharing.take([batch])
        (others,), weight = sharing.take_of([beside])
        own = sharing.ranks.of_first(first)
        of_batch += sharing.share * part.mean()
        of_others += sharing.share * weight * others.mean()
        if len(own):
            of_first += sharing.share * sharing.weight(len(own), len(first)) * own.mean()
        assert sharing.whole([part])[0] is batch
    torch.testing.assert_close(of_batch, batch.mean())
    torch.testing.assert_close(of_others, beside.mean())
    torch.testing.assert_close(of_first, first.mean())


def test_hooks_see_the_whole_batch_until_the_forward_and_a_part_of_it_from_there_on():
    class Looks(clep.Strategy):
        replicates = True
        differentiates_outputs = True

        def __init__(self):
            super().__init__()
            self.sizes = {}

        def look(self, hook, strategy):
            self.sizes.setdefault(hook, []).append(len(strategy.mb_y))

        def before_training_iteration(self, strategy, **kwargs):
            self.look("before_training_iteration", strategy)

        def before_forward(self, strategy, **kwargs):
            self.look("before_forward", strategy)

        def before_backward(self, strategy, **kwargs):
            self.look("before_backward", strategy)
            assert len(strategy.mb_output) == len(strategy.mb_y)
            assert len(sharing_of(strategy).whole(strategy.mbatch)[0]) == self.sizes["before_forward"][-1]

        def after_training_exp(self, strategy, **kwargs):
            self.look("after_training_exp", strategy)

    looks = Looks()
    learner = clep.Learner(clep.Network([64, 8, 10]))
    clep.Training(learner, [looks], epochs=1, batch_size=8, ranks=Mute(1, 2)).run(clep.stream("digits", **STREAM))
    assert looks.sizes == {
        "before_training_iteration": [8, 8, 5] * 2,
        "before_forward": [8, 8, 5] * 2,
        "before_backward": [4, 4, 2] * 2,
        "after_training_exp": [5] * 2,
    }
    assert learner.gradient.over_parts is None  # what was needed in the updates is gone


def test_batches_that_are_others_in_each_process_are_refused():
    """Those of a loader that a strategy brings are compared; whole ones are then shared out."""
    stream = clep.stream("digits", **STREAM)
    for ranks in (Mute(0, 2), Disagreeing(0, 2)):
        learner = clep.Learner(clep.Network([64, 8, 10]))
        training = clep.Training(learner, [ReplayPlugin(mem_size=10)], epochs=1, batch_size=8, ranks=ranks)
        if ranks.agrees:
            training.run(stream)
        else:
            with pytest.raises(ConfigError, match=r"^trainer\.devices: a strategy brings a data loader"):
                training.run(stream)


@pytest.mark.parametrize("gradient", [LinearNudging(), CostNudging()])
def test_only_while_an_update_is_differentiated_does_an_estimate_ask_the_others(gradient):
    """A strategy may differentiate by itself what all processes have; nobody would answer one that asked alone."""
    asked = []

    class Asking(Mute):
        def largest(self, value):
            asked.append("largest")
            return 2.0 * value

        def sum(self, tensor):
            asked.append("sum")
            return 2.0 * tensor

    sharing = Sharing(Asking(0, 2))
    plain = clep.Network([4, 3, 2], gradient=type(gradient)(adaptation=Adaptation()))
    network = sharing.shared(plain)
    (x,) = sharing.take([torch.rand(5, 4)])
    learner = clep.Learner(network, gradient=network.gradient)
    learner.loss(learner.predict(x), torch.tensor([0, 1, 0])).backward()
    assert not asked
    with sharing.differentiating():
        learner.loss(learner.predict(x), torch.tensor([0, 1, 0])).backward()
    assert set(asked) == ({"largest", "sum"} if isinstance(gradient, LinearNudging) else {"sum"})
    assert sharing_of(object()).shared(plain) is plain


def test_mir_adds_all_samples_that_it_draws_where_they_are_fewer_than_it_may_add(monkeypatch):
    """Counted from the beginning, the last 32 of 20 were 12."""
    added, take_of = [], Sharing.take_of
    monkeypatch.setattr(Sharing, "take_of", lambda self, x: (added.append(len(x[0])), take_of(self, x))[1])
    stream = clep.stream("digits", experiences=5, samples_per_experience=60)
    mir = MIR(mem_size=200, batch_size_mem=32, subsample=20)
    clep.Training(clep.Learner(clep.Network([64, 12, 10])), [mir]).run(stream)
    assert max(added) == 20
