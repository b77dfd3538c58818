"""What a network does besides learning: how it settles, how its states look, how much its free phase costs."""
