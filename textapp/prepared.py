"""What a training takes: the config completed, the records, and the token ids that batches are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textapp.config import Config
from textapp.records.splits import Splits


@dataclass(frozen=True)
class Prepared:
    """A run before its model is built. The recipe of the task makes it, its objective takes it.

    Attributes:
        config: every field filled.
        splits: its records.
        task: with its lengths.
        languages: of the texts, for a translation of the source and of the target.
        lengths_given: whether the config named the buckets; else they were chosen from the data.
        data: what the objective makes batches of, by split; its form is the task's own.
    """

    config: Config
    splits: Splits
    task: Any
    languages: list[str]
    lengths_given: bool
    data: dict[str, Any]
