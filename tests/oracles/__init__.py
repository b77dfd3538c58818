"""Slow and obvious computations that the fast ones are compared with."""
