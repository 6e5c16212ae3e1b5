"""The contract of a task on the device: record -> requests, outputs -> answer, answers -> score. NumPy alone."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from textapp.errors import ArtifactError, OptionError
from textapp.untrusted import shown

if TYPE_CHECKING:
    from textapp.predictors.predictor import Predictor
    from textapp.predictors.requests import Request
    from textapp.runners.flatfile import SignatureShapes
    from textapp.runners.runner import Outputs, Runner
    from textapp.text.tokenizer import Tokenizer

Record = Mapping[str, Any]


class Answer(Protocol):
    """The answer to one record: a frozen dataclass; its fields are the keys of `predict --json`."""

    def line(self) -> str:
        """The answer as text, one line for each hypothesis."""


class Listing(NamedTuple):
    """Answers to show in the report of `evaluate`.

    Attributes:
        name: of the file, such as `mistakes`.
        title: of the table.
        columns: names of the columns.
        rows: strings and numbers by column, the most relevant first.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: list[dict[str, Any]]


class Task(Protocol):
    """A task on the device.

    Attributes:
        name: in the config and the manifest.
        fields: input fields of a record, in the order in which the command line and Python pass them.
        optional: those of them that a record may lack; the first one is never among them.
        options: keyword arguments of `textapp.load` for this task.
        measures: quality figures shown in tables, name -> title; 0 to 100, except perplexity.
        tokenizer: of the input.
        lengths: the buckets in tokens, ascending.
        signatures: name and length of each signature that requests use.
    """

    name: str
    options: tuple[str, ...]
    measures: Mapping[str, str]
    fields: tuple[str, ...]
    optional: tuple[str, ...] = ()
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
            tokenizers: of the input and of the output; the same one twice if they are equal.
            options: some of `options`.

        Raises:
            ArtifactError: the manifest lacks a key, or has a value of another type.
        """

    def predictor(self, runner: Runner, manifest: Mapping[str, Any], path: Path, workers: int = 1) -> Predictor:
        """The predictor over a runner and clones of it.

        Args:
            runner: runs signatures.
            manifest: of the run or the bundle.
            path: its folder.
            workers: maximum number of runners.
        """

    def check_model(self, shapes: Mapping[str, SignatureShapes]) -> None:
        """Compares the signatures of a .tflite file with the manifest, which may come from a stranger.

        Args:
            shapes: of its signatures, among which are all of `signatures`.

        Raises:
            ArtifactError: they do not go together.
        """

    def record(self, *values: Any, **fields: Any) -> Record:
        """Makes a record from values of `fields`, in their order or by name, or from one mapping.

        Raises:
            UsageError: this is no record.
        """

    def check(self, record: Record) -> None:
        """Checks that a record can be answered.

        Raises:
            DataError: it cannot; with the reason.
        """

    def requests(self, record: Record) -> list[Request]:
        """The requests for a record: one for a text, several for windows of a long one."""

    def answer(self, record: Record, outputs: Sequence[Outputs]) -> Answer:
        """The answer to one record, from the outputs of its requests."""

    def queries(self, records: Sequence[Record], max_count: int) -> list[Record]:
        """The records to answer when a model is measured on records of the data, usually these records.

        Args:
            records: of the run's data.
            max_count: maximum number of queries, if the task makes them from the records.
        """

    def score(self, records: Sequence[Record], answers: Sequence[Any]) -> dict[str, Any]:
        """The quality of answers to records with references; `groups`, if there: title -> group -> figures."""

    def intervals(self, records: Sequence[Record], answers: Sequence[Any]) -> dict[str, list[float]]:
        """The bootstrap intervals `[low, high]` of figures of the score, see `metrics/bootstrap.py`."""

    def listing(self, records: Sequence[Record], answers: Sequence[Any]) -> Listing:
        """The answers to show in a report."""


def expect_shape(
    shapes: Mapping[str, tuple[int, ...]], name: str, expected: tuple[int, ...], signature: str, keys: str
) -> None:
    """Checks the shape of an input or an output of a model.

    Args:
        shapes: of one side of a signature.
        name: of the tensor.
        expected: its shape.
        signature: for the message.
        keys: of the manifest, from which the expected shape comes.

    Raises:
        ArtifactError: it has another shape, or there is none.
    """
    if shapes.get(name) != expected:
        found = list(shapes[name]) if name in shapes else "none"
        raise ArtifactError(
            f"model.tflite: signature {signature!r}: found {name} of the shape {found}, expected {list(expected)} as "
            f"{keys} of manifest.json and the tokenizer have it: copy the whole folder again"
        )


def probability(name: str, value: Any) -> float | None:
    """An option of `load` that is a number from 0 to 1, or None, if it is valid.

    Raises:
        OptionError: it is something else.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is not None and not (number and 0 <= value <= 1):
        raise OptionError(f"{name}: found {shown(value)}, expected a number from 0 to 1", name)
    return None if value is None else float(value)


def smallest(signatures: Sequence[tuple[str, int]], num_tokens: int) -> tuple[str, int]:
    """The name and length of the smallest signature for `num_tokens`, else the last one.

    Args:
        signatures: name and length of each, lengths ascending.
        num_tokens: of the input.
    """
    for signature in signatures:
        if num_tokens <= signature[1]:
            return signature
    return signatures[-1]


def one_line(text: str, max_length: int = 60) -> str:
    """The text on one line, truncated to `max_length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= max_length else line[: max_length - 1] + "…"
