"""Stored samples in a checkpoint: rows of the stream's data wherever possible, and the loaders that draw from them."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from avalanche.benchmarks.scenarios import CLExperience
from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute, make_avalanche_dataset
from avalanche.benchmarks.utils.data_loader import GroupBalancedInfiniteDataLoader
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from clep.errors import DataError
from clep.streams import ROW, Samples, Stream, avalanche_dataset

Encode = Callable[[Any, str], Any]
Decode = Callable[[Any], Any]

_BASE = ("targets", "targets_task_labels", ROW)
_CREATED = inspect.GEN_CREATED


class Store:
    """Writes data sets, experiences and loaders of a stream.

    Args:
        stream: what is learned; None if nothing of it can be named.
    """

    def __init__(self, stream: Stream | None = None) -> None:
        self._stream = stream
        self._whole: AvalancheDataset[Any] | None = None

    def encode(self, value: Any, encode: Encode) -> dict[str, Any] | None:
        """The form of a data set, an experience or a loader; None for anything else.

        Args:
            value: any object.
            encode: writes a part of it, given a name of the part.
        """
        if isinstance(value, AvalancheDataset):
            return self._of_dataset(value, encode)
        if isinstance(value, CLExperience):
            return {"is": "experience", "index": int(value.current_experience)}
        if isinstance(value, GroupBalancedInfiniteDataLoader):
            parts = {"datasets": encode(value.datasets, "datasets"), "batch_size": value.batch_sizes[0]}
            return {"is": "balanced loader", **parts}
        if type(value) is DataLoader and (shuffle := _shuffles(value)) is not None:
            options = {"batch_size": value.batch_size, "drop_last": value.drop_last, "shuffle": shuffle}
            return {"is": "loader", "dataset": encode(value.dataset, "dataset"), "options": options}
        if inspect.isgenerator(value) and inspect.getgeneratorstate(value) == _CREATED:
            return _of_unstarted(value, encode)
        return None

    def decode(self, form: dict[str, Any], decode: Decode) -> Any:
        """Read what `encode` wrote.

        Args:
            form: what it returned.
            decode: reads a part.

        Raises:
            DataError: for another form.
        """
        kind = form["is"]
        if kind == "rows":
            return self._with_further(self.whole.subset(decode(form["rows"])), form, decode)
        if kind == "items":
            x, y = decode(form["x"]), decode(form["y"])
            return self._with_further(avalanche_dataset(Samples(x, torch.as_tensor(y))), form, decode)
        if kind == "nothing":
            return AvalancheDataset([])
        if kind == "experience":
            return self._needed.benchmark.train_stream[form["index"]]
        if kind == "loader":
            return DataLoader(decode(form["dataset"]), **form["options"])
        if kind == "balanced loader":
            options = {"num_workers": 0, "pin_memory": False, "persistent_workers": False}
            return GroupBalancedInfiniteDataLoader(decode(form["datasets"]), batch_size=form["batch_size"], **options)
        if kind == "iterator":
            return iter(decode(form["of"]))
        if kind == "cycle":
            return _cycle(decode(form["of"]))
        raise DataError(f"the checkpoint holds a `{kind}`, which this version does not know")

    @property
    def whole(self) -> "AvalancheDataset[Any]":
        """All training data of the stream."""
        if self._whole is None:
            self._whole = avalanche_dataset(self._needed.samples, range(len(self._needed.samples)))
        return self._whole

    @property
    def _needed(self) -> Stream:
        assert self._stream is not None, "a checkpoint with samples of a stream is read with this stream"
        return self._stream

    def _of_dataset(self, dataset: "AvalancheDataset[Any]", encode: Encode) -> dict[str, Any]:
        further = [a for name, a in dataset._data_attributes.items() if name not in _BASE]
        rows = getattr(dataset, ROW, None)
        if len(dataset) == 0 and not dataset._data_attributes:
            return {"is": "nothing"}
        if rows is not None and self._stream is not None and self._is_of_stream(dataset, list(rows)):
            form: dict[str, Any] = {"is": "rows", "rows": encode([int(row) for row in rows], ROW)}
        else:
            items = [dataset[i] for i in range(len(dataset))]
            x = torch.stack([torch.as_tensor(item[0]) for item in items]) if items else torch.zeros(0)
            form = {"is": "items", "x": encode(x, "x"), "y": encode([int(y) for y in dataset.targets], "y")}
        return form | {"further": [_of_attribute(attribute, encode) for attribute in further]}

    def _is_of_stream(self, dataset: "AvalancheDataset[Any]", rows: list[int]) -> bool:
        """Whether the samples are rows of the stream; its ends tell, as no transformation changes only the others."""
        x = self._needed.samples.x
        ends = (0, len(rows) - 1) if rows else ()
        return max(rows, default=0) < len(x) and all(torch.equal(dataset[i][0], x[rows[i]]) for i in ends)

    @staticmethod
    def _with_further(dataset: "AvalancheDataset[Any]", form: dict[str, Any], decode: Decode) -> Any:
        if not form["further"]:
            return dataset
        attributes = []
        for attribute in form["further"]:
            values = list(decode(attribute["values"]))
            attributes.append(DataAttribute(values, attribute["name"], use_in_getitem=attribute["in_items"]))
        return make_avalanche_dataset(dataset, data_attributes=attributes)


def _of_attribute(attribute: Any, encode: Encode) -> dict[str, Any]:
    values: Any = [attribute[i] for i in range(len(attribute))]
    if all(isinstance(value, torch.Tensor) for value in values) and len({value.shape for value in values}) == 1:
        values = torch.stack(values)  # one tensor instead of one per sample
    return {
        "name": attribute.name,
        "values": encode(values, attribute.name),
        "in_items": attribute.use_in_getitem,
    }


def _shuffles(loader: "DataLoader[Any]") -> bool | None:
    """Whether a loader shuffles; None for one with a sampler or a generator of its own, or with processes."""
    plain = loader.generator is None and loader.num_workers == 0 and loader.batch_size is not None
    if plain and type(loader.sampler) is SequentialSampler:
        return False
    sampler = loader.sampler
    if plain and type(sampler) is RandomSampler and sampler.generator is None and not sampler.replacement:
        return True
    return None


def _of_unstarted(generator: Any, encode: Encode) -> dict[str, Any] | None:
    """An iterator over a loader from which nothing was drawn yet: it can simply be made again."""
    code, variables = generator.gi_code.co_qualname, generator.gi_frame.f_locals
    if code == "cycle" and "loader" in variables:
        return {"is": "cycle", "of": encode(variables["loader"], "loader")}
    if code == "MultiDatasetDataLoader.__iter__":
        return {"is": "iterator", "of": encode(variables["self"], "loader")}
    return None


def _cycle(loader: Iterable[Any]) -> Any:
    from avalanche.training.utils import cycle

    return cycle(loader)
