"""The contract of a task on the workstation: its config keys, its data, and the preparation of a training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from textapp.config import Config, TaskKeys
from textapp.prepared import Prepared
from textapp.recipes.preparing import Begun, Encoder
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
    """A task on the workstation.

    Attributes:
        keys: its config keys.
        task: the class of the task on the device.
    """

    keys: TaskKeys
    task: type[Task]

    def objective(self) -> Objective:
        """The objective of the task; imports TensorFlow."""

    # --- data --------------------------------------------------------------------------------------------------------

    def load(self, source: Source, layout: Layout, data_dir: Path) -> Records:
        """Loads labelled records, or records with references.

        Args:
            source: the files.
            layout: how rows become records.
            data_dir: base folder of relative paths.

        Raises:
            DataError: a row is invalid, with file and line of the first one, or a file cannot be read.
        """

    def scan(self, source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
        """Yields line number and record of the inputs to answer; for an invalid row its error instead.

        References may be missing and texts empty; each line of a `.txt` file is a text.

        Args:
            source, layout, data_dir: as for `load`.

        Raises:
            DataError: a file is missing or empty, or has no column for the text.
        """

    def trainable(self, records: Records, source: Source, layout: Layout) -> Records:
        """Drops records without text from the training data, with a warning.

        Args:
            records: of the training files.
            source: the files, for messages.
            layout: how rows became records.

        Raises:
            DataError: the rest cannot be trained on.
        """

    def labels(self, train: Records) -> Sequence[str]:
        """The labels of the training data, to which other splits are limited; empty if the task has none."""

    def set_aside(self, records: Records, share: float, config: Config) -> Parts:
        """Splits a share off the training records, so that equal ones stay together."""

    def built_in_texts(self) -> Records:
        """Records to verify an export with if a run has no data; none if the task cannot do without data."""
        return []

    def divides_texts(self, config: Config) -> bool:
        """Whether one record is divided into many examples."""

    # --- training ----------------------------------------------------------------------------------------------------

    def prepare(self, config: Config, splits: Splits, folder: Path) -> Prepared:
        """Completes the config, loads or trains the tokenizers, and tokenizes the texts.

        Args:
            config: with its files located.
            splits: its records.
            folder: stores tokenizers and ids, which a resumed training reuses.
        """

    def profile(self, config: Config, splits: Splits) -> dict[str, Any]:
        """Profiles the data for `textapp check`, with `warnings`; texts are tokenized as in a training."""

    def sections(self, profile: dict[str, Any]) -> list[Section]:
        """The tables and facts of a profile."""


class PreparableRecipe(Recipe, Protocol):
    """A task with the key `data.prepared`, whose training examples `textapp prepare` writes."""

    def read(self, source: Source, layout: Layout, data_dir: Path, config: Config) -> Iterator[Records]:
        """Yields what `load` returns in blocks, while it reads.

        Args:
            source, layout, data_dir: as for `load`; one file of a source, or all.
            config: as it was loaded.

        Raises:
            DataError: as for `load`.
        """

    def unprepared(self, config: Config) -> str | None:
        """Why the examples of a config cannot be prepared, as the end of an error; None if they can."""

    def line_files(self, config: Config) -> Collection[str]:
        """The extensions of files that may be read in parts: their records are lines, and do not tell which."""

    def has_text(self, record: dict[str, Any], config: Config) -> bool:
        """Whether a record has the texts that a training needs.

        Raises:
            DataError: it has not, and the config makes that an error.
        """

    def begin(self, config: Config, splits: Splits, folder: Path) -> Begun:
        """Does what comes before texts become ids: completes cleaning and tokenizer, and makes the tokenizers.

        Args:
            config: with its files located.
            splits: its records; those of train may be read from disk anew each time.
            folder: stores the tokenizers.
        """

    def encoder(self, config: Config, labels: Sequence[str], folder: Path) -> Encoder:
        """How records become integers.

        Args:
            config: as `begin` returned it.
            labels: of the training data.
            folder: with the tokenizers.
        """
