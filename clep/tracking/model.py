"""A folder that MLflow takes for a model: its own `log_model` would load the learner and look for its requirements, 7 s
a run. What a model is needs no more than the files below.
"""

import json
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import numpy as np
import yaml

from clep import distribution
from clep.tracking.store import load_mlflow

FOLDER = "model"
"""Name of the folder among the artifacts of a run."""
DATA = "learner.ckpt"
"""Name of the checkpoint in it."""

_LOADER = "clep.served"
_PINNED = distribution.NAME, "mlflow", "torch", "pytorch-lightning", "avalanche-lib", "numpy"
_EXAMPLE = "input_example.json"
_SERVING = "serving_input_example.json"


def write_model(
    folder: Path, run_id: str, example: np.ndarray, classes: int, packages: Iterable[tuple[str, str]] = ()
) -> None:
    """Write everything but the checkpoint, which belongs into the same folder under the name `DATA`.

    Args:
        folder: an empty folder.
        run_id: the run that trained it.
        example: a few inputs, (N, ...).
        classes: number of outputs.
        packages: name and version of further packages that the model needs.
    """
    mlflow = load_mlflow()
    types, models = mlflow.types, mlflow.models
    inputs = types.Schema([types.TensorSpec(np.dtype(np.float32), (-1, *example.shape[1:]))])
    outputs = types.Schema([types.TensorSpec(np.dtype(np.float32), (-1, classes))])
    model = models.Model(
        artifact_path=FOLDER,
        run_id=run_id,
        signature=models.ModelSignature(inputs, outputs),
        saved_input_example_info={
            "artifact_path": _EXAMPLE,
            "format": "tf-serving",
            "type": "ndarray",
            "serving_input_path": _SERVING,
        },
    )
    python = platform.python_version()
    environment = {"virtualenv": "python_env.yaml"}
    model.add_flavor("python_function", loader_module=_LOADER, data=DATA, python_version=python, env=environment)
    model.save(folder / "MLmodel")
    values = np.asarray(example, dtype=np.float32).tolist()
    (folder / _EXAMPLE).write_text(json.dumps(values))
    (folder / _SERVING).write_text(json.dumps({"inputs": values}))
    needed = [*((name, metadata.version(name)) for name in _PINNED), *packages]
    (folder / "requirements.txt").write_text("".join(f"{name}=={version}\n" for name, version in needed))
    requirements = {"python": python, "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(requirements))
