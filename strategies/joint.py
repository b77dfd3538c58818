"""Joint training: all experiences at once, with the same epochs per sample. The upper reference of every table."""

from clep.strategy import Strategy


class Joint(Strategy):
    """Learn the union of all experiences in one; forgetting and learned accuracy are not defined."""

    stands_alone = True
    trains_jointly = True
    touches_loss = False
