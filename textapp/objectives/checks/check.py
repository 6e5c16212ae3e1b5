"""The contract of the check that an export has to pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from textapp.errors import ExportError
from textapp.objectives.checks.examples import Examples, concatenated
from textapp.runners.inputs import Inputs
from textapp.runners.runner import Runner

Arrays = Mapping[str, np.ndarray]
# A broken file may by chance score like a weak model, but not give the same answers.
MIN_AGREEMENT = 80.0


@dataclass(frozen=True)
class Verdict:
    """The result of an export that passed.

    Attributes:
        outputs: of the export, signature -> output name -> `[examples, ...]`.
        report: runtime, examples, max_error, agreement and the figures of the task; shares are 0 to 100.
    """

    outputs: dict[str, dict[str, np.ndarray]]
    report: dict[str, Any]


class Check(Protocol):
    """Compares exports with the Keras model on real examples.

    Attributes:
        quality: figures of the report that become the quality in the manifest.
        figures: figures of the report to show for each quantization tried.
        examples: real examples.
        inputs: of each signature.
        text_field: field of a record that a `text` signature takes.
        forced: texts for forced decoding, see `textapp.decoding.forced.force_all`; None: the model generates no text.
    """

    quality: Sequence[str]
    figures: Sequence[str]
    examples: Examples
    inputs: Inputs
    text_field: str
    forced: Inputs | None

    def judge(self, arrays: Arrays, runtime: str, quantize: str) -> Verdict:
        """Compares the outputs of an export with those of the model.

        Args:
            arrays: `classify_16/probabilities` and the like -> `[examples, ...]`.
            runtime: name of the runtime, for the report.
            quantize: with `none` the outputs have to be those of the model; else the measure of the task counts.

        Raises:
            ExportError: the outputs are not finite, differ too much, or lose too much quality.
        """

    def golden(
        self, examples: Examples, outputs: Mapping[str, Mapping[str, np.ndarray]], max_count: int
    ) -> list[dict[str, Any]]:
        """A few records with their ids and answers, as test cases for ports to other languages.

        Args:
            examples: to choose from.
            outputs: of the export for them, signature -> output name -> `[examples, ...]`.
            max_count: maximum number of records.
        """

    def text_calls(self) -> list[list[int]]:
        """Indices of the records for each call of a SavedModel's `text` signature."""

    def check_text(self, index: int, outputs: Mapping[str, Any], verdict: Verdict) -> None:
        """Compares the outputs of the `text` signature for a record with those for its ids.

        Raises:
            ExportError: they differ.
        """


def check_finite(values: np.ndarray, what: str) -> None:
    """Checks for NaN and infinity.

    Raises:
        ExportError: there is one.
    """
    if not np.isfinite(values).all():
        raise ExportError(f"found NaN or infinity in {what}")


def run_all(runner: Runner, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Runs a signature on any number of rows, in batches that the runner takes.

    Args:
        runner: of the model.
        signature: its name.
        inputs: by name, `[examples, ...]`.
    """
    size, count = runner.max_batch, len(next(iter(inputs.values())))
    starts = range(0, count, size)
    return concatenated(
        [runner.run(signature, {name: rows[at : at + size] for name, rows in inputs.items()}) for at in starts]
    )
