"""The digits of scikit-learn, for plain data loaders."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

EXPECTED = ["ignore:.*does not have many workers", "ignore:.*have no `val_dataloader`", "ignore:.*LeafSpec"]


def pytest_collection_modifyitems(items):
    """Lightning's advice about loaders is none for slices of tensors."""
    for item in items:
        if "tests/learner/" in item.path.as_posix():
            for text in EXPECTED:
                item.add_marker(pytest.mark.filterwarnings(text))


@pytest.fixture(scope="module")
def digits():
    """(train, test) of the 8 x 8 digits, images in [0, 1]."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return TensorDataset(x[order[:1437]], y[order[:1437]]), TensorDataset(x[order[1437:]], y[order[1437:]])
