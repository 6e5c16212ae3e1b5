"""Records on disk between two steps of `textapp prepare`, read anew each time, so that memory does not grow with them.

A folder of two files: `texts.jsonl` has a block of records on each line, `texts.json`, which is written last, the place
of each block and what was counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from textapp.folders import write_text

Records = Sequence[dict[str, Any]]
TEXTS, COUNTED = "texts.jsonl", "texts.json"


class Spool(Sequence[dict[str, Any]]):
    """Records of a folder that `Spool.write` has finished.

    Attributes:
        labels: name -> number of the records that have it.
        dropped: number of records that were left out.
    """

    def __init__(self, folder: Path) -> None:
        counted = json.loads((folder / COUNTED).read_text(encoding="utf-8"))
        self._path, self._places = folder / TEXTS, counted["places"]
        self._ends = np.cumsum(counted["sizes"], dtype=np.int64)
        self.labels: dict[str, int] = counted["labels"]
        self.dropped: int = counted["dropped"]

    @classmethod
    def write(
        cls,
        folder: Path,
        blocks: Iterable[Records],
        keeps: Callable[[dict[str, Any]], bool],
        tell: Callable[[int], None],
    ) -> Spool:
        """Writes records.

        Args:
            folder: for the two files.
            blocks: the records, a few thousand at once.
            keeps: whether a record is kept.
            tell: is called after each block with the number of records so far.
        """
        places, sizes, seen, labels = [], [], 0, Counter[str]()
        with (folder / TEXTS).open("wb") as file:
            for block in blocks:
                kept = [record for record in block if keeps(record)]
                seen += len(block)
                if kept:
                    places.append(file.tell())
                    sizes.append(len(kept))
                    file.write(json.dumps(kept, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
                    labels.update(label for record in kept for label in _labels(record))
                tell(seen)
        counted = {"places": places, "sizes": sizes, "labels": labels, "dropped": seen - sum(sizes)}
        write_text(folder / COUNTED, json.dumps(counted))
        return cls(folder)

    @staticmethod
    def remove(folder: Path) -> None:
        """Removes the two files of a folder."""
        for name in (COUNTED, TEXTS):
            (folder / name).unlink(missing_ok=True)

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
        first = int(np.searchsorted(self._ends, begin, side="right"))
        with self._path.open("rb") as file:
            if begin < end:
                file.seek(self._places[first])
            place = int(self._ends[first - 1]) if first else 0
            while place < end:
                block = json.loads(file.readline().decode("utf-8", "surrogatepass"))
                yield block[max(0, begin - place) : end - place]
                place += len(block)


def _labels(record: dict[str, Any]) -> Sequence[str]:
    label = record.get("label", ())
    return [label] if isinstance(label, str) else label
