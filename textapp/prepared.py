"""The input of a training: the completed config, the records and their token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textapp.config import Config
from textapp.records.splits import Splits


@dataclass(frozen=True)
class Prepared:
    """A run before its model is built; made by the recipe of the task, used by its objective.

    Attributes:
        config: with every field filled in.
        splits: the records.
        task: with its lengths.
        languages: of the texts; for translation those of source and target.
        lengths_given: whether the config named the buckets; else they were chosen from the data.
        data: split -> what the objective makes batches of; the type depends on the task.
    """

    config: Config
    splits: Splits
    task: Any
    languages: list[str]
    lengths_given: bool
    data: dict[str, Any]
