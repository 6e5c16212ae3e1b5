"""Sizes on disk and in memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_BLOCK = 1 << 20


def size_bytes(path: str | Path) -> int:
    """The size of a file, or of all files in a folder and its subfolders, in bytes."""
    path = Path(path)
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def size_words(count: int, digits: int = 1) -> str:
    """Bytes in words, by powers of 1000: `512 B`, `38.2 kB`, `4.1 MB`.

    Args:
        count: of bytes.
        digits: behind the point.
    """
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.{digits}f} kB" if count < 1e6 else f"{count / 1e6:.{digits}f} MB"


def gzip_bytes(path: Path) -> int:
    """The bytes of a file, or of all files of a folder, each packed by gzip."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return sum(_packed(file) for file in files if file.is_file())


class _Counter:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.count = 0

    def write(self, data: Any) -> int:
        self.count += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def _packed(file: Path) -> int:
    import gzip  # here, as processes that are measured import this module

    counter = _Counter()
    with file.open("rb") as read, gzip.GzipFile(file, "wb", 6, counter) as packed:
        while block := read.read(_BLOCK):
            packed.write(block)
    return counter.count


def peak_memory_mb() -> float:
    """The peak memory of this process, in MiB."""
    if _STATUS.is_file():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    import resource

    unit = 1024**2 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
