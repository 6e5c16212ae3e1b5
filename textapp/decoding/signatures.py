"""The signatures of a model that writes: their names, and how long the cache of each is.

`generate_<read>_<new>` is the whole greedy loop, `batch_<rows>_generate_<read>_<new>` the same for several texts at
once, `prefill_<read>` reads a source or a prompt, `decode` one token more, and `score` (of a Keras model only) gives
the log-probabilities of given texts. `read` and `new` are tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

GENERATE, PREFILL, DECODE, SCORE = "generate", "prefill", "decode", "score"
BATCH = "batch"
CACHE = "cache_"  # in front of the name of every tensor that a step hands to the next
Pairs = Iterable[Sequence[int]]


class CacheLengths(NamedTuple):
    """How long the caches are that `prefill_*` makes and `decode` takes, the same for all pairs of a model.

    Attributes:
        cache: tokens that a text may have; of a language model those of its prompt too.
        memory: tokens of the longest source; None where there is none.
    """

    cache: int
    memory: int | None


def generate_name(read: int, new: int) -> str:
    """`generate_name(16, 24)` is `generate_16_24`."""
    return f"{GENERATE}_{read}_{new}"


def prefill_name(read: int) -> str:
    """`prefill_name(16)` is `prefill_16`."""
    return f"{PREFILL}_{read}"


def batch_name(signature: str, rows: int) -> str:
    """The same signature for several texts at once: `batch_name("generate_16_24", 5)` is `batch_5_generate_16_24`."""
    return signature if rows == 1 else f"{BATCH}_{rows}_{signature}"


def rows_of(signature: str) -> int:
    """The texts that a signature of fixed shape takes: `rows_of("batch_5_generate_16_24")` is 5, of others 1."""
    return int(signature.split("_")[1]) if signature.startswith(f"{BATCH}_") else 1


def lengths_of(generate: str) -> tuple[int, int]:
    """The tokens read and new of a greedy signature: `lengths_of("generate_16_24")` is `(16, 24)`."""
    read, new = generate.split("_")[-2:]
    return int(read), int(new)


def step_caches(pairs: Pairs, has_source: bool, context: int) -> CacheLengths:
    """Lengths of the caches of single steps.

    Args:
        pairs: `(read, new)` of the greedy signatures.
        has_source: the model translates; else it goes on behind a prompt.
        context: tokens that a language model sees.

    Example: `step_caches([(8, 12), (16, 20)], True, 16)` is `CacheLengths(21, 16)`: 20 new tokens behind the start.
    """
    pairs = list(pairs)
    if not has_source:
        return CacheLengths(context, None)
    return CacheLengths(max(new for _, new in pairs) + 1, max(read for read, _ in pairs))
