"""What a network does besides learning: how it settles, what its states look like, what its free phase costs."""
