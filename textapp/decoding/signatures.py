"""The names of the signatures of a model that generates text, and the lengths of their caches.

`generate_<read>_<new>` is the whole greedy loop, `batch_<rows>_generate_<read>_<new>` the same for several texts at
once, `prefill_<read>` reads a source or a prompt, `decode` reads one more token, `decode_<tokens>` so many tokens at
once, `decode_<tokens>_<places>` the same with so many places of the cache, which is faster, `extend_<tokens>` up
to so many of a new turn, and `score` (of a Keras model only) reads given texts at once. `read` and `new` are numbers of
input and new tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textapp.runners.runner import CACHE as CACHE

GENERATE, PREFILL, DECODE, SCORE = "generate", "prefill", "decode", "score"
EXTEND, BATCH = "extend", "batch"
Pairs = Iterable[Sequence[int]]


class CacheLengths(NamedTuple):
    """The lengths of the caches that `prefill_*` returns and `decode` takes; the same for all signatures of a model.

    Attributes:
        cache: maximum number of tokens of a text; for a language model including its prompt.
        memory: number of tokens of the longest source; None without a source.
    """

    cache: int
    memory: int | None


def generate_name(read: int, new: int) -> str:
    """`generate_name(16, 24)` is `generate_16_24`."""
    return f"{GENERATE}_{read}_{new}"


def prefill_name(read: int) -> str:
    """`prefill_name(16)` is `prefill_16`."""
    return f"{PREFILL}_{read}"


def several_name(tokens: int, places: int | None = None) -> str:
    """`several_name(5)` is `decode_5`; with 448 places of the cache alone `decode_5_448`."""
    return f"{DECODE}_{tokens}" if places is None else f"{DECODE}_{tokens}_{places}"


def several_of(signatures: Iterable[str]) -> int:
    """How many tokens a model reads at once behind others: 5 if it has the signature `decode_5`, 1 if only `decode`."""
    return max(1, _longest(DECODE, signatures))


def short_places(signatures: Iterable[str]) -> list[int]:
    """The lengths of shorter caches with which a model reads several tokens at once: `[448]` with `decode_5_448`."""
    names = list(signatures)
    found = [re.fullmatch(rf"{DECODE}_{several_of(names)}_([0-9]{{1,7}})", name) for name in names]
    return sorted(int(match[1]) for match in found if match)


def extend_name(tokens: int) -> str:
    """`extend_name(32)` is `extend_32`."""
    return f"{EXTEND}_{tokens}"


def extend_of(signatures: Iterable[str]) -> int:
    """How many tokens of a new turn a model reads at once: 32 if it has the signature `extend_32`, else 0."""
    return _longest(EXTEND, signatures)


def _longest(kind: str, signatures: Iterable[str]) -> int:
    """The largest number of tokens in the names of a kind, 0 if there is none."""
    found = [re.fullmatch(rf"{kind}_([0-9]{{1,4}})", name) for name in signatures]
    return max([0, *(int(match[1]) for match in found if match)])


def batch_name(signature: str, rows: int) -> str:
    """The name of a signature for several texts: `batch_name("generate_16_24", 5)` is `batch_5_generate_16_24`."""
    return signature if rows == 1 else f"{BATCH}_{rows}_{signature}"


def rows_of(signature: str) -> int:
    """The number of texts that a signature takes: `rows_of("batch_5_generate_16_24")` is 5; without `batch_` 1."""
    return int(signature.split("_")[1]) if signature.startswith(f"{BATCH}_") else 1


def lengths_of(generate: str) -> tuple[int, int]:
    """The numbers of input and new tokens of a greedy signature: `lengths_of("generate_16_24")` is `(16, 24)`."""
    read, new = generate.split("_")[-2:]
    return int(read), int(new)


def step_caches(pairs: Pairs, has_source: bool, context: int) -> CacheLengths:
    """The lengths of the caches of `prefill_*` and `decode`.

    Args:
        pairs: `(read, new)` of the greedy signatures.
        has_source: whether the model translates a source; else it continues a prompt.
        context: maximum number of tokens that a language model sees.

    Example: `step_caches([(8, 12), (16, 20)], True, 16)` is `CacheLengths(21, 16)`: a start token and 20 new ones.
    """
    pairs = list(pairs)
    if not has_source:
        return CacheLengths(context, None)
    return CacheLengths(max(new for _, new in pairs) + 1, max(read for read, _ in pairs))
