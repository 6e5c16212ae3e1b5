"""The contract of a model in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

Outputs = Mapping[str, np.ndarray]
CACHE = "cache_"  # prefix of the name of every tensor that one call of a signature leaves for the next
KV_CACHE = "kv_cache_"  # the same in files for LiteRT-LM
CACHES = (CACHE, KV_CACHE)


class Runner(Protocol):
    """A model in memory.

    Attributes:
        max_batch: maximum number of rows of a call; 1 if the shapes are fixed.
        shareable: whether several threads can run it in parallel; else their calls are correct, but wait for each
            other.
    """

    max_batch: int
    shareable: bool

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs one signature.

        Args:
            signature: such as `classify_32`.
            features: inputs by name, `[batch, length]` int32 and others.

        Returns:
            Its outputs by name, `[batch, ...]`.
        """
        ...

    def clone(self) -> Runner:
        """A runner of the same model that another thread may use at the same time."""
        ...
