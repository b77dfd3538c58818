"""Joint training: all experiences at once, with the same epochs per sample. The upper reference of every table."""

from clep.strategy import Strategy


class Joint(Strategy):
    """Learn the union of all experiences as one; forgetting and learned accuracy are then undefined."""

    stands_alone = True
    trains_jointly = True
