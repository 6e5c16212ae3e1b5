"""Training examples as token ids in TFRecord shards, which `textapp prepare` writes, with an index for each example.

A prepared folder holds `shards/train-00000-of-00004.tfrecord` and beside it `.npy`, an int64 table with a row for each
example: place and size of its content, the tokens of each feature, and its label if each text has one. So any example
is read by itself, and the order of an epoch is the same as that of texts in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from textapp.artifact import MANIFEST, Artifact, open_artifact
from textapp.errors import ArtifactError, ConfigError
from textapp.records.cache import Ragged, Rows
from textapp.records.tfrecords import examples, frames, integers, last_integers
from textapp.untrusted import OBJECT, TEXT, key, list_of, mapping_of, shown, whole

KIND, FOLDER = "preparation", "shards"
VERSION = 1  # of the folder, and of how texts become ids
BLOCK = 4096  # records that are read, and encoded, at once
LABELS = "labels"  # feature with the numbers of the labels

Block = Mapping[str, Sequence[Sequence[int]]]  # feature -> the integers of each example


def in_blocks(records: Iterator[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    """Yields records, `BLOCK` of them at once."""
    while block := list(islice(records, BLOCK)):
        yield block


def shard_name(number: int, count: int) -> str:
    """The name of a shard in the folder, such as `shards/train-00000-of-00004.tfrecord`."""
    return f"{FOLDER}/train-{number:05}-of-{count:05}.tfrecord"


def index_name(shard: str) -> str:
    """The name of the index of a shard."""
    return shard.removesuffix(".tfrecord") + ".npy"


def remove_partial(folder: Path) -> None:
    """Removes the shards that a killed process did not finish."""
    for file in (folder / FOLDER).glob("*.partial"):
        file.unlink(missing_ok=True)


def write_shard(path: Path, blocks: Iterable[Block], single: bool) -> None:
    """Writes a shard and its index, each under its name only when it is complete, the index last.

    Args:
        path: the shard.
        blocks: examples in their order.
        single: whether the feature `labels` has one label, which the index then has too.
    """
    partial, rows, place = path.with_name(f"{path.name}.{os.getpid()}.partial"), [], 0
    index = path.with_suffix(".npy")
    partial_index = index.with_name(f"{index.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            for block in blocks:
                contents = examples(block)
                data, places = frames(contents)
                file.write(data)
                columns = [places + place, *([*map(len, each)] for each in (contents, *block.values()))]
                if single:
                    columns.append([number for (number,) in block[LABELS]])
                rows.append(np.array(columns, np.int64).T)
                place += len(data)
            file.flush()
            os.fsync(file.fileno())
        with partial_index.open("wb") as file:
            np.save(file, np.concatenate(rows))
        os.replace(partial, path)
        os.replace(partial_index, index)
    finally:
        partial.unlink(missing_ok=True)
        partial_index.unlink(missing_ok=True)


class TokenShards:
    """The examples of a prepared folder.

    Args:
        artifact: the folder, checked.

    Attributes:
        folder: where it is.
        manifest: its `manifest.json`.
        features: names of the lists of integers that each example has, in their order.
        labels: names of the labels; empty if the task has none.
        label_counts: how many examples have each of them.
        languages: of the texts.
    """

    def __init__(self, artifact: Artifact) -> None:
        manifest = artifact.manifest
        self.folder, self.manifest = artifact.path, manifest
        self.features: list[str] = key(manifest, "features", list_of(TEXT, at_least=1))
        self.labels: list[str] = key(manifest, "labels", list_of(TEXT))
        self.label_counts: list[int] = key(manifest, "label_counts", list_of(whole(high=2**62)))
        self.languages: list[str] = key(manifest, "languages", list_of(TEXT, at_least=1))
        self.origin: str = key(manifest, "origin", TEXT)
        self.settings: dict[str, Any] = key(manifest, "settings", OBJECT)
        self._sizes: dict[str, int] = key(manifest, "shards", mapping_of(whole(1, 2**62)))
        self._files: dict[str, int] = {}

    @classmethod
    def open(cls, folder: Path) -> TokenShards:
        """Opens a prepared folder and checks every file of it.

        Raises:
            ArtifactError: it is none, a file is missing or damaged, or another version of textapp wrote it.
        """
        if not (folder / MANIFEST).is_file():
            found = "is not finished" if (folder / FOLDER).is_dir() else f"has no {MANIFEST}"
            raise ArtifactError(
                f"data.prepared: {folder}: {found if folder.is_dir() else 'no such folder'}; expected a folder that "
                f"textapp prepare CONFIG --to {folder} has finished"
            )
        artifact = open_artifact(folder)
        if artifact.kind != KIND:
            raise ArtifactError(
                f"data.prepared: {folder}: found a {artifact.kind}, expected a folder of textapp prepare"
            )
        found = artifact.manifest.get("version")
        if found != VERSION:
            raise ArtifactError(
                f"data.prepared: {folder}: found version {shown(found)} of prepared data, expected {VERSION}: another "
                "version of textapp wrote it: prepare again"
            )
        return cls(artifact)

    def __len__(self) -> int:
        return sum(self._sizes.values())

    def check_settings(self, expected: Mapping[str, Any], differing: Callable[[Any, Any], str | None]) -> None:
        """Checks that the examples were made as a config says.

        Args:
            expected: what a training from texts would determine; a value None of `data.train` fits any files.
            differing: the first key in which two values differ, in dotted form.

        Raises:
            ConfigError: they were not, with the first key that differs.
        """
        found = dict(self.settings)
        if expected.get("data", {}).get("train", 0) is None:
            found["data"] = {**found.get("data", {}), "train": None}
        if name := differing(found, dict(expected)):
            values = []
            for value in (found, expected):
                for part in name.split("."):
                    value = value.get(part) if isinstance(value, Mapping) else None
                values.append(shown(value))
            raise ConfigError(
                f"data.prepared: {self.folder}: was prepared with {name} {values[0]}, expected {values[1]}, as this "
                "config gives: prepare again with this config, or train with that one"
            )

    # --- index -------------------------------------------------------------------------------------------------------

    @cached_property
    def _index(self) -> dict[str, np.ndarray]:
        """Columns of all shards: `shard` int32, `place` int64, `size` int32, each feature, and `label`, int32."""
        names = ["place", "size", *self.features]
        single = not self.settings.get("multiple") and bool(self.labels)
        names += ["label"] if single else []
        columns = {name: np.empty(len(self), np.int64 if name == "place" else np.int32) for name in names}
        begin = 0
        for shard, size in self._sizes.items():
            file = self.folder / index_name(shard)
            try:
                table = np.load(file, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise ArtifactError(f"{file}: cannot be read ({error}): prepare again") from error
            if table.shape != (size, len(names)):
                raise ArtifactError(
                    f"{file}: found a table of the shape {table.shape}, expected {(size, len(names))}: prepare again"
                )
            for number, name in enumerate(names):
                columns[name][begin : begin + size] = table[:, number]
            begin += size
        return columns

    @cached_property
    def _begins(self) -> np.ndarray:
        """The number of the first example of each shard, and the number of all."""
        return np.concatenate([[0], np.cumsum([*self._sizes.values()])])

    def lengths(self, feature: str) -> np.ndarray:
        """The number of integers of a feature, int32 `[examples]`."""
        return self._index[feature]

    @property
    def targets(self) -> np.ndarray:
        """The label of each example, if each has one, int32 `[examples]`."""
        return self._index["label"]

    # --- content -----------------------------------------------------------------------------------------------------

    def read(self, numbers: np.ndarray) -> list[bytes]:
        """The records of some examples, each a `tf.train.Example`.

        Raises:
            ArtifactError: a shard cannot be read; it was removed or cut off meanwhile.
        """
        index, names = self._index, list(self._sizes)
        shards = np.searchsorted(self._begins, numbers, side="right") - 1
        wanted = zip(shards.tolist(), index["place"][numbers].tolist(), index["size"][numbers].tolist(), strict=True)
        found = []
        for shard, place, size in wanted:
            content = os.pread(self._file(names[shard]), size, place)
            if len(content) != size:
                raise ArtifactError(f"{self.folder / names[shard]}: was cut off during the training: prepare again")
            found.append(content)
        return found

    def rows(self, feature: str) -> Ragged:
        """The last feature of all examples, read at once into memory.

        Raises:
            ArtifactError: a shard cannot be read.
        """
        assert feature == self.features[-1]
        index, begins, parts = self._index, self._begins.tolist(), []
        for number, shard in enumerate(self._sizes):
            of_shard = slice(begins[number], begins[number + 1])
            try:
                data = (self.folder / shard).read_bytes()
            except OSError as error:
                raise ArtifactError(f"{self.folder / shard}: cannot be read ({error.strerror})") from error
            places, sizes = index["place"][of_shard], index["size"][of_shard].astype(np.int64)
            parts.append(last_integers(data, places, sizes, index[feature][of_shard]))
        offsets = np.concatenate([[0], np.cumsum(self.lengths(feature), dtype=np.int64)])
        return Ragged(np.concatenate(parts), offsets)

    def _file(self, shard: str) -> int:
        if shard not in self._files:
            try:
                self._files[shard] = os.open(self.folder / shard, os.O_RDONLY)
            except OSError as error:
                raise ArtifactError(f"{self.folder / shard}: cannot be read ({error.strerror})") from error
        return self._files[shard]

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)

    def column(self, feature: str) -> ShardColumn:
        """One feature of all examples."""
        return ShardColumn(self, feature)


class ShardColumn(Rows):
    """A feature of examples on disk: rows of int32, each read when it is asked for.

    Args:
        shards: the examples.
        feature: its name.
        numbers: of the examples; None: all.
        longest: maximum length of a row, which is truncated to it; None: no maximum.
        first: what each row begins with, in place of its last integer; None: rows are as they are on disk.
    """

    def __init__(
        self,
        shards: TokenShards,
        feature: str,
        numbers: np.ndarray | None = None,
        longest: int | None = None,
        first: int | None = None,
    ) -> None:
        self.shards, self.feature, self.numbers, self.longest, self.first = shards, feature, numbers, longest, first

    def __len__(self) -> int:
        return len(self.shards) if self.numbers is None else len(self.numbers)

    def __getitem__(self, index: int) -> np.ndarray:
        index = range(len(self))[index]
        number = index if self.numbers is None else int(self.numbers[index])
        (content,) = self.shards.read(np.array([number]))
        row = integers(content)[self.feature][: self.longest]
        return row if self.first is None else np.concatenate([[self.first], row[:-1]]).astype(np.int32)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    @property
    def lengths(self) -> np.ndarray:
        lengths = self.shards.lengths(self.feature)
        lengths = lengths if self.numbers is None else lengths[self.numbers]
        return lengths if self.longest is None else np.minimum(lengths, self.longest)

    def taken(self, rows: np.ndarray) -> ShardColumn:
        numbers = rows if self.numbers is None else self.numbers[rows]
        return ShardColumn(self.shards, self.feature, numbers, self.longest, self.first)


def truncated(rows: Sequence[np.ndarray], longest: int) -> Sequence[np.ndarray]:
    """Rows of at most so many integers."""
    if isinstance(rows, ShardColumn):
        return ShardColumn(rows.shards, rows.feature, rows.numbers, longest, rows.first)
    return [row[:longest] for row in rows]


def preceded(rows: Sequence[np.ndarray], first: int) -> Sequence[np.ndarray]:
    """Rows that are not empty, each behind an integer and without its last one: what a decoder reads.

    Example: `preceded([[7, 8, 3]], 2)` is `[[2, 7, 8]]`.
    """
    if isinstance(rows, ShardColumn):
        return ShardColumn(rows.shards, rows.feature, rows.numbers, rows.longest, first)
    begin = np.array([first], np.int32)
    return [np.concatenate([begin, row[:-1]]) for row in rows]


class ManyLabels(Sequence[np.ndarray]):
    """The labels of texts with several, as rows of 0 and 1, each read when it is asked for.

    Args:
        column: the numbers of the labels of each text.
        size: number of all labels.
    """

    def __init__(self, column: ShardColumn, size: int) -> None:
        self.column, self.size = column, size

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, index: int) -> np.ndarray:
        row = np.zeros(self.size, np.float32)
        row[self.column[index]] = 1
        return row
