"""The contract of a task on the device: record -> requests, outputs -> answer, answers -> score. NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from textapp.predictors.predictor import Predictor
    from textapp.predictors.requests import Request
    from textapp.runners.runner import Outputs, Runner
    from textapp.text.tokenizer import Tokenizer

Record = Mapping[str, Any]


class Answer(Protocol):
    """The answer to one record: a frozen dataclass, whose fields are the keys of `predict --json`."""

    def line(self) -> str:
        """The answer for a reader, on one line, or one for each of several."""


class Listing(NamedTuple):
    """Answers worth reading, for the report of `evaluate`.

    Attributes:
        name: of the file, `mistakes`.
        title: over the table.
        columns: of the rows.
        rows: strings and numbers by column, the most telling first.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: list[dict[str, Any]]


class Task(Protocol):
    """One kind of question to a model.

    Attributes:
        name: in the config and the manifest.
        fields: of a record, what is asked; the command line, standard input and Python give them in this order.
        options: keyword arguments of `textapp.load` that the task takes.
        measures: quality figures that tables show, name -> words for the reader; 0 to 100, but for perplexity.
        tokenizer: of what is read.
        lengths: the buckets in tokens, ascending.
        signatures: name and length of each signature that requests may name.
    """

    name: str
    options: tuple[str, ...]
    measures: Mapping[str, str]
    fields: tuple[str, ...]
    tokenizer: Tokenizer
    lengths: list[int]
    signatures: list[tuple[str, int]]

    @classmethod
    def from_manifest(
        cls, manifest: Mapping[str, Any], tokenizers: tuple[Tokenizer, Tokenizer], **options: Any
    ) -> Task:
        """The task of a run or a bundle.

        Args:
            manifest: of the run or the bundle.
            tokenizers: of what is read, and of what is generated; twice the same where there is one.
            options: of `options`.

        Raises:
            KeyError: the manifest lacks a key.
        """

    def predictor(self, runner: Runner, manifest: Mapping[str, Any], path: Path, workers: int = 1) -> Predictor:
        """What answers over a runner, or over several clones of it.

        Args:
            runner: runs signatures.
            manifest: of the run or the bundle.
            path: its folder.
            workers: runners at most.
        """

    def record(self, *values: Any, **fields: Any) -> Record:
        """What a caller gave as a record: values of `fields` in their order or by name, or one mapping.

        Raises:
            UsageError: it is no record.
        """

    def check(self, record: Record) -> None:
        """Refuses a record that is not to be answered.

        Raises:
            DataError: with the reason.
        """

    def requests(self, record: Record) -> list[Request]:
        """What the model is asked: one request for a text, several for windows of a long one."""

    def answer(self, record: Record, outputs: Sequence[Outputs]) -> Answer:
        """The answer to one record, from the outputs of its requests."""

    def queries(self, records: Sequence[Record], max_count: int) -> list[Record]:
        """What to ask a model that is measured on records of the data: mostly the records themselves.

        Args:
            records: of the run's data.
            max_count: queries at most, where the task makes its own out of records without any.
        """

    def score(self, records: Sequence[Record], answers: Sequence[Any]) -> dict[str, Any]:
        """Quality figures of answers to records that hold what is right."""

    def listing(self, records: Sequence[Record], answers: Sequence[Any]) -> Listing:
        """The answers that a reader should see."""


def smallest(signatures: Sequence[tuple[str, int]], num_tokens: int) -> tuple[str, int]:
    """The name and length of the first signature that takes `num_tokens`, else of the last.

    Args:
        signatures: name and length of each, lengths ascending.
        num_tokens: of the input.
    """
    for signature in signatures:
        if num_tokens <= signature[1]:
            return signature
    return signatures[-1]


def one_line(text: str, max_length: int = 60) -> str:
    """The text on one line, cut to `max_length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= max_length else line[: max_length - 1] + "…"
