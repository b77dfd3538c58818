"""Dark experience replay: what the bit-equality with Avalanche (test_bridge) does not show."""

from clep.strategies.der import DER

import clep
from clep.strategy import Strategy


class Sizes(Strategy):
    """Batch sizes seen by the loss, per experience."""

    def __init__(self):
        super().__init__()
        self.sizes = {}

    def before_backward(self, strategy, **kwargs):
        self.sizes.setdefault(strategy.clock.train_exp_counter, []).append(len(strategy.mb_y))


def test_stored_samples_join_every_batch_from_the_second_experience_on(digits):
    sizes = Sizes()
    learner = clep.Learner(clep.Network([64, 8, 10]), lr=0.05)
    clep.Training(learner, [DER(mem_size=20, batch_size_mem=6), sizes], batch_size=16, epochs=1).run(digits)
    assert sizes.sizes == {0: [16, 16, 8], 1: [22, 22, 14], 2: [22, 22, 14]}
