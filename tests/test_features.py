"""The scripts of docs/features.md run as written, use no label, and do what the page says of them."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import clep

PAGE = (Path(__file__).parent.parent / "docs" / "features.md").read_text()


def script(name: str) -> str:
    return re.search(rf"<!-- {name}:begin -->\n```python\n(.*?)```", PAGE, flags=re.DOTALL).group(1)


def run(folder: Path, code: str, y_train: np.ndarray, monkeypatch):
    """The features that a script makes of small random images, and its functions."""
    draws = np.random.default_rng(0)
    arrays = {"x_train": draws.integers(0, 256, (len(y_train), 3, 12, 12), np.uint8), "y_train": y_train}
    arrays |= {"x_test": draws.integers(0, 256, (4, 3, 12, 12), np.uint8), "y_test": np.array([0, 1, 1, 0])}
    np.savez(folder / "images.npz", **arrays)
    (folder / "script.py").write_text(code)
    monkeypatch.setattr(sys, "argv", ["script.py", "features.npz", "npz", "images.npz"])
    functions = runpy.run_path(str(folder / "script.py"), run_name="__main__")
    with np.load(folder / "features.npz") as made:
        return {key: made[key] for key in made}, functions


@pytest.fixture
def patch_features(tmp_path, monkeypatch):
    return lambda y_train: run(tmp_path, script("patches"), y_train, monkeypatch)


LABELS = np.arange(40) % 2


def test_the_patch_script_is_short_and_its_features_are_a_stream(patch_features, tmp_path):
    assert len(script("patches").splitlines()) <= 60
    made, _ = patch_features(LABELS)
    assert made["x_train"].shape == (40, 1600)
    assert made["x_train"].dtype == made["x_test"].dtype == np.uint8
    assert 0.3 < (made["x_train"] == 0).mean() < 0.8  # what is below the mean
    assert made["x_train"].std(0).min() > 0
    stream = clep.stream("npz", path=str(tmp_path / "features.npz"), experiences=2, class_order="fixed")
    assert [e.samples.y.unique().tolist() for e in stream.train] == [[0], [1]]
    assert torch.equal(stream.samples.x, torch.from_numpy(made["x_train"]) / 255)


def test_patch_features_are_learnt_without_labels(patch_features):
    first, second = (patch_features(labels)[0] for labels in (LABELS, LABELS[::-1].copy()))
    assert np.array_equal(first["x_train"], second["x_train"])
    assert not np.array_equal(first["y_train"], second["y_train"])


def test_a_feature_is_how_much_nearer_than_average_a_centroid_is_to_the_patches_of_a_quadrant(patch_features):
    """By loops in float64; the 4 x 4 patches of 12 x 12 pixels start at 0, 2, 4, 6. Brighter images, same features."""
    _, functions = patch_features(LABELS)
    draws = np.random.default_rng(1)
    image = draws.random((3, 12, 12))
    mean, whiten, centroids = draws.random(108) / 10, draws.standard_normal((108, 108)) / 10, draws.random((5, 108))
    near = np.empty((4, 4, 5))
    for i in range(4):
        for j in range(4):
            patch = image[:, 2 * i : 2 * i + 6, 2 * j : 2 * j + 6].ravel()
            patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 10 / 255**2)
            distance = np.array([np.linalg.norm((patch - mean) @ whiten - centroid) for centroid in centroids])
            near[i, j] = np.maximum(0, distance.mean() - distance)
    expected = [[near[i : i + 2, j : j + 2, k].mean() for i in (0, 2) for j in (0, 2)] for k in range(5)]
    learnt = [torch.from_numpy(array) for array in (mean, whiten, centroids)]
    features = functions["encode"](torch.from_numpy(image)[None], *learnt)
    torch.testing.assert_close(features[0].view(5, 4), torch.tensor(expected, dtype=torch.float64))
    brighter = functions["encode"](torch.from_numpy(image)[None] * 0.5 + 0.3, *learnt)
    torch.testing.assert_close(brighter, features, rtol=0.02, atol=1e-3)


def test_the_resnet_script_runs_as_written_but_for_its_weights(tmp_path, monkeypatch):
    """Its weights would be downloaded; random ones show the shapes, the preparation and the file."""
    code = script("resnet").replace("resnet50(weights=weights)", "resnet50()")
    assert code != script("resnet")
    made, _ = run(tmp_path, code, np.array([0, 1]), monkeypatch)
    assert (made["x_train"].shape, made["x_test"].shape) == ((2, 2048), (4, 2048))
    assert made["x_train"].min() >= 0
    assert made["x_train"].max() == 1
