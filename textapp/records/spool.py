"""Records on disk between two steps of `textapp prepare`, read anew each time, so that memory does not grow with them.

Each part of the texts has two files, so that processes can write at the same time: `NAME.jsonl` with a block of records
on each line, and `NAME.json`, which is written last, with the place of each block and what was counted. `texts.json`
names the parts in their order, when all are finished.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from textapp.errors import ArtifactError
from textapp.files import write_text

Records = Sequence[dict[str, Any]]
PARTS = "texts.json"


def write_part(
    folder: Path, name: str, blocks: Iterable[Records], keeps: Callable[[dict[str, Any]], bool],
    tell: Callable[[int], None] = lambda seen: None, notes: Sequence[str] = (),
) -> None:  # fmt: skip
    """Writes the records of a part.

    Args:
        folder: for the two files.
        name: of the part.
        blocks: the records, a few thousand at once.
        keeps: whether a record is kept.
        tell: is called after each block with the number of records so far.
        notes: what the reader had to tell by then.
    """
    places, sizes, seen, labels = [], [], 0, Counter[str]()
    partial = folder / f"texts-{name}.{os.getpid()}.partial"
    try:
        with partial.open("wb") as file:
            for block in blocks:
                kept = [record for record in block if keeps(record)]
                seen += len(block)
                if kept:
                    places.append(file.tell())
                    sizes.append(len(kept))
                    file.write(json.dumps(_columns(kept), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
                    labels.update(label for record in kept if "label" in record for label in _labels(record))
                tell(seen)
        os.replace(partial, _texts(folder, name))
    finally:
        partial.unlink(missing_ok=True)
    counted = {"places": places, "sizes": sizes, "labels": labels, "dropped": seen - sum(sizes), "notes": list(notes)}
    write_text(_counted(folder, name), json.dumps(counted))


def is_part(folder: Path, name: str) -> bool:
    """Whether a part is finished."""
    return _counted(folder, name).is_file()


def notes_of(folder: Path, name: str) -> list[str]:
    """What the reader of a finished part had to tell."""
    return json.loads(_counted(folder, name).read_text(encoding="utf-8"))["notes"]


def is_spool(folder: Path) -> bool:
    """Whether all parts of a folder are finished."""
    return (folder / PARTS).is_file()


class Spool(Sequence[dict[str, Any]]):
    """Records of a folder, part after part.

    Attributes:
        labels: name -> number of the records that have it.
        dropped: number of records that were left out.
    """

    def __init__(self, folder: Path) -> None:
        self.labels, self.dropped = Counter[str](), 0
        self._places: list[tuple[Path, int]] = []
        sizes: list[int] = []
        try:
            for name in json.loads((folder / PARTS).read_text(encoding="utf-8")):
                counted = json.loads(_counted(folder, name).read_text(encoding="utf-8"))
                self._places += [(_texts(folder, name), place) for place in counted["places"]]
                sizes += counted["sizes"]
                self.labels.update(counted["labels"])
                self.dropped += counted["dropped"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{folder}: damaged ({error}): use --overwrite to start again") from error
        self._ends = np.cumsum(sizes, dtype=np.int64)

    @classmethod
    def of(cls, folder: Path, names: Sequence[str]) -> Spool:
        """The records of finished parts, from now on those of the folder."""
        write_text(folder / PARTS, json.dumps(list(names)))
        return cls(folder)

    @staticmethod
    def remove(folder: Path) -> None:
        """Removes the files of a folder."""
        for pattern in (PARTS, "texts-*.json", "texts-*.jsonl", "texts-*.partial"):
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (record for block in self.blocks(0, len(self)) for record in block)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(islice(self, *index.indices(len(self))))
        index = range(len(self))[index]
        return next(iter(self.blocks(index, index + 1)))[0]

    def blocks(self, begin: int, end: int) -> Iterator[Records]:
        """The records from one number to another, in blocks."""
        number = int(np.searchsorted(self._ends, begin, side="right"))
        place = int(self._ends[number - 1]) if number else 0
        path, file = None, None
        try:
            while place < end:
                of_block, offset = self._places[number]
                if of_block != path:
                    if file is not None:
                        file.close()
                    path, file = of_block, of_block.open("rb")
                assert file is not None
                file.seek(offset)
                block = _records(json.loads(file.readline().decode("utf-8", "surrogatepass")))
                yield block[max(0, begin - place) : end - place]
                place, number = place + len(block), number + 1
        finally:
            if file is not None:
                file.close()


def _texts(folder: Path, name: str) -> Path:
    return folder / f"texts-{name}.jsonl"


def _counted(folder: Path, name: str) -> Path:
    return folder / f"texts-{name}.json"


def _columns(records: Records) -> Any:
    """Records as a list for each field, if all have the same: half the time of objects."""
    fields = records[0].keys()
    if any(record.keys() != fields for record in records):
        return records
    return {field: [record[field] for record in records] for field in fields}


def _records(stored: Any) -> Records:
    if isinstance(stored, list):
        return stored
    fields = tuple(stored)
    return [dict(zip(fields, values, strict=True)) for values in zip(*stored.values(), strict=True)]


def _labels(record: dict[str, Any]) -> Sequence[str]:
    label = record["label"]
    return [label] if isinstance(label, str) else label
