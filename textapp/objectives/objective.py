"""The contract of a task on TensorFlow: how its model is built, fed, measured, asked and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras

from textapp.batches.pipeline import Batch, BatchSource
from textapp.objectives.checks.check import Check
from textapp.objectives.signature import Signature, TextSignature
from textapp.prepared import Prepared
from textapp.runners.runner import Runner
from textapp.tasks.task import Record

Loss = Callable[[Batch, Any], Any]


class Objective(Protocol):
    """What a model of one task is trained for and exported as.

    Attributes:
        quantizations: number formats that an export may have, besides `auto`.
        refusals: why it has not the others, by number format.
        decodes: the model generates text token by token: loops in the file are checked, and signatures for several
            texts at once may be asked for.
    """

    quantizations: Sequence[str]
    refusals: Mapping[str, str]
    decodes: bool

    # --- training ----------------------------------------------------------------------------------------------------

    def build(self, prepared: Prepared) -> keras.Model:
        """A new model in its training form, under the dtype policy of this moment."""

    def build_inference(self, prepared: Prepared) -> keras.Model:
        """The same in its inference form, without what serves training alone; `plain_weights` fills it."""

    def batches(self, prepared: Prepared) -> BatchSource:
        """What the model learns from."""

    def loss(self, prepared: Prepared) -> Loss:
        """A batch and the model's outputs to losses `[rows]`."""

    def validation(self, prepared: Prepared, model: keras.Model) -> Callable[[], dict[str, float]]:
        """Measures the model after an epoch; where it has `samples`, these are lines that show its answers."""

    def figures(self, prepared: Prepared, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        """The quality of a finished model on records of a split."""

    def manifest(self, prepared: Prepared) -> dict[str, Any]:
        """What the manifest of the run says of this task."""

    # --- answering and export ----------------------------------------------------------------------------------------

    def runner(self, model: keras.Model, task: Any) -> Runner:
        """Runs the task's signatures over a Keras model."""

    def export_task(self, task: Any, records: Sequence[Record]) -> Any:
        """The task of a .tflite file: perhaps with more lengths than the run's, so that examples are padded less."""

    def signatures(self, model: keras.Model, task: Any, batch_size: int = 1) -> list[Signature]:
        """The signatures of fixed shape that a .tflite file has."""

    def served_signatures(self, model: keras.Model, task: Any) -> list[Signature]:
        """The signatures for any number of rows that a SavedModel has."""

    def text_signature(self, task: Any, served: Sequence[Signature], run_folder: Path) -> TextSignature:
        """The entry of a SavedModel that takes strings.

        Raises:
            UsageError: the way from text to ids is no TensorFlow graph.
        """

    def quantize_model(self, model: keras.Model, quantize: str) -> bool:
        """Changes a model in place for a number format, where its graph depends on it; whether it did."""

    def check(
        self, model: keras.Model, task: Any, records: Sequence[Record], max_drop: float, batch_size: int = 1
    ) -> Check:
        """What an export has to pass.

        Args:
            model: the Keras model, in float32.
            task: of the export.
            records: real examples.
            max_drop: what an export may lose of the task's measure.
            batch_size: of signatures that take several texts at once.
        """
