"""Caches token ids on disk, so that the same texts are tokenised only once."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

_logger = logging.getLogger("textapp")


class Rows(Sequence[np.ndarray]):
    """Rows of different lengths on disk, of which these are known without reading them."""

    @property
    def lengths(self) -> np.ndarray:
        """The length of each row, `[rows]` int."""
        raise NotImplementedError

    def taken(self, rows: np.ndarray) -> Sequence[np.ndarray]:
        """Some of the rows, by their indices."""
        return [self[index] for index in rows.tolist()]


def lengths_of(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The length of each row, int64 `[rows]`."""
    if isinstance(rows, Rows):
        return np.asarray(rows.lengths, np.int64)
    return np.fromiter(map(len, rows), np.int64, len(rows))


def taken(rows: Sequence[np.ndarray], indices: np.ndarray) -> Sequence[np.ndarray]:
    """Some of the rows, by their indices."""
    return rows.taken(indices) if isinstance(rows, Rows) else [rows[index] for index in indices.tolist()]


class Ragged(Rows):
    """Rows of different lengths in one flat array: row i is the view `flat[offsets[i]:offsets[i + 1]]`."""

    def __init__(self, flat: np.ndarray, offsets: np.ndarray) -> None:
        self.flat = flat
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        index = range(len(self))[index]
        return self.flat[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)


class TokenCache:
    """A folder of token ids: two `.npy` files for each list of texts and tokenizer.

    The folder may be deleted at any time; missing or damaged files are written again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def ids(self, texts: Sequence[str], tokenizer_key: str, encode: Callable[[str], Sequence[int]]) -> Ragged:
        """The ids of each text, read from disk if they are there.

        Args:
            texts: the texts.
            tokenizer_key: identifies the tokenizer and its settings; see `folder_key`.
            encode: text -> ids; called for each text if the ids are not on disk.

        Returns:
            One int32 array per text, memory-mapped.

        Example: `cache.ids(["a b", "c"], key, tokenizer.ids)[1]` is the ids of "c".
        """
        key = _texts_key(texts, tokenizer_key)
        cached = self._open(key, len(texts))
        if cached is not None:
            return cached
        rows = [np.asarray(encode(text), dtype=np.int32) for text in texts]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        flat = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
        self._write(key, flat, offsets)
        return self._open(key, len(texts)) or Ragged(flat, offsets)

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key}.ids.npy", self.folder / f"{key}.offsets.npy"

    def _open(self, key: str, num_texts: int) -> Ragged | None:
        ids_path, offsets_path = self._paths(key)
        try:
            offsets = np.load(offsets_path)
            flat = np.load(ids_path, mmap_mode="r") if offsets[-1] else np.zeros(0, dtype=np.int32)
        except (OSError, ValueError, EOFError, IndexError):  # missing or truncated
            return None
        whole = flat.dtype == np.int32 and len(offsets) == num_texts + 1 and offsets[-1] == len(flat)
        return Ragged(flat, offsets) if whole else None

    def _write(self, key: str, flat: np.ndarray, offsets: np.ndarray) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path, array in zip(self._paths(key), (flat, offsets), strict=True):
                partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # two workers may write the same ids
                try:
                    with partial.open("wb") as file:
                        np.save(file, array)
                    os.replace(partial, path)
                finally:
                    partial.unlink(missing_ok=True)
        except OSError as error:
            _logger.warning("%s: token ids cannot be cached on disk (%s); they stay in memory", self.folder, error)


def folder_key(folder: Path, settings: Iterable[str] = ()) -> str:
    """A hash of every file of a saved tokenizer, and of other settings that the ids depend on."""
    digest = hashlib.sha256()
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        content = path.read_bytes()
        _add(digest, path.relative_to(folder).as_posix().encode())
        _add(digest, content)
    for setting in settings:
        _add(digest, setting.encode())
    return digest.hexdigest()


def _texts_key(texts: Sequence[str], tokenizer_key: str) -> str:
    digest = hashlib.sha256()
    for text in (tokenizer_key, *texts):
        _add(digest, text.encode("utf-8", errors="surrogatepass"))
    return digest.hexdigest()[:32]


def _add(digest: hashlib._Hash, content: bytes) -> None:
    """Hashes the length too, so that the texts "ab", "c" differ from "a", "bc"."""
    digest.update(len(content).to_bytes(8, "little"))
    digest.update(content)
