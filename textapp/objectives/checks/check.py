"""The contract of a check, and what checks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from textapp.errors import ExportError
from textapp.objectives.checks.examples import Examples
from textapp.runners.inputs import Inputs

Arrays = Mapping[str, np.ndarray]
# A broken file may score as a weak model does by chance, but it does not give the same answers.
MIN_AGREEMENT = 80.0


@dataclass(frozen=True)
class Verdict:
    """An export that passed.

    Attributes:
        outputs: what it answered, signature -> output name -> `[examples, ...]`.
        report: runtime, examples, max_error, agreement and the figures of the task, shares in 0 to 100.
    """

    outputs: dict[str, dict[str, np.ndarray]]
    report: dict[str, Any]


class Check(Protocol):
    """Real examples of a run, what its Keras model answers to them, and the judge of exports.

    Attributes:
        quality: names of the figures of a report that the manifest keeps as the export's quality.
        figures: names of those that are shown for each quantization tried.
        examples: real examples.
        inputs: of each signature.
        text_field: of a record, the string that a `text` signature takes.
        forced: texts for forced decoding, see `textapp.decoding.forced.force_all`; None: the model generates no text.
    """

    quality: Sequence[str]
    figures: Sequence[str]
    examples: Examples
    inputs: Inputs
    text_field: str
    forced: Inputs | None

    def judge(self, arrays: Arrays, runtime: str, quantize: str) -> Verdict:
        """Compares what an export answered with the model.

        Args:
            arrays: `classify_16/probabilities` and the like -> `[examples, ...]`.
            runtime: what it ran in, for the report.
            quantize: `none` is held to the model's own answers, the others to the task's measure.

        Raises:
            ExportError: it is not finite, too far off, or loses too much.
        """

    def golden(self, verdict: Verdict, max_count: int) -> list[dict[str, Any]]:
        """A few records with their ids and answers: a port in another language tests itself against them."""

    def text_calls(self) -> list[list[int]]:
        """The records, by number, whose strings go together into a call of a SavedModel's `text` signature."""

    def check_text(self, index: int, outputs: Mapping[str, Any], verdict: Verdict) -> None:
        """Compares what the `text` signature answers to the record of this number with what the ids say.

        Raises:
            ExportError: they differ.
        """


def check_finite(values: np.ndarray, what: str) -> None:
    """Refuses NaN and infinity.

    Raises:
        ExportError: there is one.
    """
    if not np.isfinite(values).all():
        raise ExportError(f"NaN or infinity among {what}")
