"""Naive training: one experience after another, unprotected against forgetting. The lower reference of every table."""

from clep.strategy import Strategy


class Naive(Strategy):
    """Do nothing."""

    stands_alone = True
