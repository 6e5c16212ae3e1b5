"""Pretrained word vectors, from the text format that word2vec, GloVe and fastText share (`.vec`).

Each line is a word and its numbers, separated by single spaces; the first line may be a header, `count dim`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from textapp.errors import ConfigError, DataError
from textapp.untrusted import git_lfs_pointer

WORD_MARK = "\u2581"  # SentencePiece's mark for the start of a word

log = logging.getLogger(__name__)


def vector_dim(path: str | Path) -> int:
    """The dimension of the vectors in a file.

    Raises:
        DataError: the file is missing or not in the format.
    """
    for _, _, values in _lines(Path(path)):
        return len(values)
    raise DataError(f"{path}: holds no vectors; expected lines such as 'word 0.1 -0.2 0.3'")


def load_vectors(path: str | Path, pieces: Sequence[str], embedding_dim: int, seed: int = 7) -> np.ndarray:
    """Initial values of a token embedding: the vector of each piece found in the file, random numbers for the rest.

    A piece is looked up without its word mark, first as it is and then in lower case. If a word is a piece both with
    and without the mark, both get the vector.

    Args:
        path: a `.vec` file.
        pieces: the vocabulary, by id.
        embedding_dim: dimension of the embedding, the same as in the file.
        seed: seed of the random rows, whose standard deviation is that of the vectors found.

    Returns:
        `[len(pieces), embedding_dim]` float32.

    Raises:
        DataError: the file is missing, or a line is not in the format; the message names the line.
        ConfigError: the dimension of the vectors is not `embedding_dim`.
    """
    wanted: dict[str, list[int]] = {}
    for piece_id, piece in enumerate(pieces):
        word = piece.removeprefix(WORD_MARK)
        for form in dict.fromkeys((word, word.lower())):
            if form:
                wanted.setdefault(form, []).append(piece_id)
    rows = np.zeros((len(pieces), embedding_dim), np.float32)
    exact = np.zeros(len(pieces), bool)
    found = np.zeros(len(pieces), bool)
    for line, word, values in _lines(Path(path)):
        if len(values) != embedding_dim:
            raise ConfigError(
                f"model.embedding_dim: found {embedding_dim}, but the vectors of {path} (line {line}) have "
                f"{len(values)} numbers; expected the same: set model.embedding_dim: {len(values)}"
            )
        for piece_id in wanted.get(word, ()):
            if not exact[piece_id]:
                rows[piece_id] = _numbers(path, line, values)
                found[piece_id] = True
                exact[piece_id] = pieces[piece_id].removeprefix(WORD_MARK) == word
    _fill(rows, found, seed)
    log.info("%s: vectors for %d of %d tokens (%.0f %%)", path, found.sum(), len(pieces), 100 * found.mean())
    return rows


def _fill(rows: np.ndarray, found: np.ndarray, seed: int) -> None:
    scale = float(rows[found].std()) if found.any() else 0.05
    rows[~found] = np.random.default_rng(seed).normal(scale=scale, size=(int((~found).sum()), rows.shape[1]))


def _lines(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yields the line number from 1, the word and its numbers as text; skips the header and empty lines."""
    if (pointer := git_lfs_pointer(path)) is not None:  # whose lines are a word and another one
        raise DataError(f"{path}: {pointer}")
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for line, text in enumerate(file, start=1):
                word, *values = text.rstrip().split(" ")
                if line == 1 and len(values) == 1 and word.isdigit() and values[0].isdigit():
                    continue
                if not values and not word:
                    continue
                if not values:
                    raise DataError(f"{path}, line {line}: found {text.strip()!r}; expected a word and its numbers")
                yield line, word, values
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}); expected a text .vec file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a text .vec file") from error


def _numbers(path: str | Path, line: int, values: list[str]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError as error:
        raise DataError(f"{path}, line {line}: {error}; expected numbers after the word") from error
