"""What an export is asked for, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textapp.artifact import Artifact
from textapp.errors import ExportError, UsageError
from textapp.runners.interpreter import PACKAGES, available

if TYPE_CHECKING:
    from textapp.objectives.objective import Objective

EDGE_TARGETS = tuple(PACKAGES)
SAVED_MODEL = "saved_model"
TARGETS = (*EDGE_TARGETS, SAVED_MODEL)
QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
MAX_ROWS = 64  # texts a call: more take memory and gain nothing, a language model from 5 on


@dataclass(frozen=True)
class ExportOptions:
    """How a run is exported.

    Attributes:
        target: `litert`, `tflite-runtime` or `saved_model`.
        quantize: `none`, `float16`, `dynamic`, `int8` or `auto`; a SavedModel takes `none` and `auto` (the same there).
        max_drop: what the export may lose against the run: points of accuracy or of BLEU, percent of perplexity.
        text_signature: a SavedModel that also takes raw strings.
        batch_size: of a .tflite file that generates text: signatures for so many texts at once, beside those for one.

    Raises:
        UsageError: a value is unknown, or the target does not take it.
    """

    target: str = "litert"
    quantize: str = "none"
    max_drop: float = 0.5
    text_signature: bool = False
    batch_size: int = 1

    def __post_init__(self) -> None:
        target, quantize = self.target, self.quantize
        if target not in TARGETS:
            raise UsageError(f"target '{target}' is unknown, expected one of {', '.join(TARGETS)}")
        if quantize not in (*QUANTIZATIONS, "auto"):
            raise UsageError(f"quantize '{quantize}' is unknown, expected one of {', '.join(QUANTIZATIONS)}, auto")
        if not 1 <= self.batch_size <= MAX_ROWS:
            raise UsageError(f"batch size: found {self.batch_size}, expected 1 to {MAX_ROWS}")
        if self.serves and quantize not in ("none", "auto"):
            raise UsageError(
                f"target saved_model takes quantize none, found '{quantize}': int8 is for the .tflite targets"
            )
        if self.serves and self.batch_size > 1:
            raise UsageError(f"batch size {self.batch_size}: a SavedModel takes batches of any size, leave it out")
        if not self.serves and self.text_signature:
            raise UsageError("the text signature needs target saved_model: a .tflite file takes token ids")

    @property
    def serves(self) -> bool:
        """Whether this is for a server."""
        return self.target == SAVED_MODEL

    def check(self, run: Artifact, objective: Objective, records: Sequence[Any]) -> None:
        """Refuses what this run cannot be.

        Args:
            run: an opened folder.
            objective: of its task.
            records: examples to verify with.

        Raises:
            UsageError: this is no run, its task does not take the options, or the target's interpreter is missing.
            ExportError: there are no examples.
        """
        if run.kind != "run":
            raise UsageError(f"{run.path}: is a {run.kind}, expected a run folder: export the run that it came from")
        if self.quantize in objective.refusals:
            raise UsageError(objective.refusals[self.quantize])
        if self.batch_size > 1 and not objective.decodes:
            raise UsageError(f"batch size {self.batch_size}: is for models that generate text, leave it out")
        if not self.serves and self.target not in available():
            raise UsageError(
                f"target {self.target} is verified in its own interpreter, which is missing: "
                f"pip install 'textapp[{self.target}]'"
            )
        if not records:
            raise ExportError(f"{run.path}: an export is verified on real examples, and none were found")
