"""Where records come from, as a config or a caller gives it: files, or parallel files of sources and targets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from textapp.config import ParallelFiles

# A path, a glob, or a list of them; for parallel files `{"source": ..., "target": ...}` with one of these each.
Source = Union[str, Path, list[str], Mapping[str, Any], "ParallelFiles"]


def parallel_sides(source: Source) -> tuple[Any, Any] | None:
    """The source files and the target files; None if `source` does not give parallel files."""
    if isinstance(source, Mapping):
        return source["source"], source["target"]
    return (source.source, source.target) if hasattr(source, "target") else None


def describe(source: Source) -> str:
    """A short name of the source, for errors and for `origin`: `train.zh | train.en`."""
    sides = parallel_sides(source)
    if sides is not None:
        return " | ".join(describe(side) for side in sides)
    names = source if isinstance(source, list) else [str(source)]
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"
