"""Gradients as vectors: how far apart two are, and how fast a bias falls."""

import numpy as np
import torch
from torch.nn import functional


def flat(tensors):
    """All entries of some tensors, one after another."""
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def relative_error(actual, expected):
    """|actual - expected| / |expected|."""
    return float((actual - expected).norm() / expected.norm())


def slope(errors, betas):
    """Exponent p of errors ~ betas^p, by least squares."""
    return np.polyfit(np.log2(betas), np.log2(errors), 1)[0]


def cosine(a, b):
    """Cosine of the angle between two gradients, each a list of tensors."""
    return float(functional.cosine_similarity(flat(a).double(), flat(b).double(), dim=0))
