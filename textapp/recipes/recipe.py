"""The contract of a task on the workstation: which files and keys it has, and how they become a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from textapp.config import Config, TaskKeys
from textapp.prepared import Prepared
from textapp.recipes.profile import Section
from textapp.records.layout import Layout
from textapp.records.rows import RowError
from textapp.records.sources import Source
from textapp.records.splits import Parts, Splits
from textapp.tasks.task import Task

if TYPE_CHECKING:
    from textapp.objectives.objective import Objective

Records = list[dict[str, Any]]


class Recipe(Protocol):
    """One task on the workstation.

    Attributes:
        keys: what a config may say.
        task: the class of the task on the device.
    """

    keys: TaskKeys
    task: type[Task]

    def objective(self) -> Objective:
        """The task on TensorFlow, which is imported here."""

    # --- data --------------------------------------------------------------------------------------------------------

    def load(self, source: Source, layout: Layout, data_dir: Path) -> Records:
        """Loads records with their answers.

        Args:
            source: the files.
            layout: how rows become records.
            data_dir: where relative paths start.

        Raises:
            DataError: the first row at fault, with its file and line, or a file that cannot be read.
        """

    def scan(self, source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
        """Yields line and record of what is to be answered; a row at fault gives its error in its place.

        What the model is to find may be missing, a text may be empty; of a `.txt` every line is a text.

        Args:
            source, layout, data_dir: as for `load`.

        Raises:
            DataError: a whole file is at fault: it is missing or empty, or has no column for the text.
        """

    def trainable(self, records: Records, source: Source, layout: Layout) -> Records:
        """The records to learn from: empty ones are dropped, with a warning.

        Args:
            records: of the training files.
            source: the files, for messages.
            layout: how rows became records.

        Raises:
            DataError: nothing can be learned from them.
        """

    def labels(self, train: Records) -> Sequence[str]:
        """The labels that other splits may have; empty if the task has none."""

    def set_aside(self, records: Records, share: float, config: Config) -> Parts:
        """Sets a share of the training records aside, so that none stands on both sides."""

    def divides_texts(self, config: Config) -> bool:
        """Whether one record gives many examples."""

    # --- training ----------------------------------------------------------------------------------------------------

    def prepare(self, config: Config, splits: Splits, folder: Path) -> Prepared:
        """Completes the config, finds or trains the tokenizers, and turns texts into ids.

        Args:
            config: its files located.
            splits: its records.
            folder: keeps tokenizers and ids, for the next time.
        """

    def profile(self, config: Config, splits: Splits) -> dict[str, Any]:
        """What is in the data, with `warnings`, for `textapp check`; texts become ids as in a training."""

    def sections(self, profile: dict[str, Any]) -> list[Section]:
        """A profile for a reader."""
