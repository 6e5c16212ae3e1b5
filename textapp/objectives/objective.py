"""The contract of a task on TensorFlow: its model, batches, loss, metrics, signatures and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import keras

from textapp.batches.pipeline import Batch, BatchSource, BucketBatches, Examples
from textapp.errors import UsageError
from textapp.objectives.checks.check import Check
from textapp.objectives.signature import Signature, TextSignature
from textapp.prepared import Prepared
from textapp.runners.runner import Runner
from textapp.tasks.task import Record

if TYPE_CHECKING:
    from textapp.objectives.lessons import Lesson

Loss = Callable[[Batch, Any], Any]


def bucket_batches(prepared: Prepared, examples: Examples) -> BucketBatches:
    """The training batches of examples of one input, as the config says.

    Args:
        prepared: the config, and the tokenizer of the task.
        examples: with their targets.
    """
    config, training, pad_id = prepared.config, prepared.config.training, prepared.task.tokenizer.pad_id
    assert config.lengths and training.batch_size  # resolved
    sizes = config.lengths[-1], pad_id, training.batch_size
    return BucketBatches(examples, *sizes, config.seed, training.static_shapes)


class Objective(Protocol):
    """A task on TensorFlow.

    Attributes:
        quantizations: number formats that an export may have, besides `auto`.
        max_drops: what a number format may lose, where that is more than `textapp.export.options.MAX_DROP`.
        refusals: number format -> why it is not available.
        decodes: whether the model generates text token by token; then the loops of a file are checked, and batch
            signatures are available.
    """

    quantizations: Sequence[str]
    max_drops: Mapping[str, float] = {}
    refusals: Mapping[str, str]
    decodes: bool

    # --- training ----------------------------------------------------------------------------------------------------

    def build(self, prepared: Prepared) -> keras.Model:
        """Builds a model in its training form, under the current dtype policy."""

    def build_inference(self, prepared: Prepared) -> keras.Model:
        """Builds the inference form, without parts that only training needs; `inference_weights` gives its weights."""

    def batches(self, prepared: Prepared) -> BatchSource:
        """The training batches."""

    def loss(self, prepared: Prepared) -> Loss:
        """A function from a batch and the outputs of the model to losses `[rows]`."""

    def lesson(self, prepared: Prepared, unlabelled: Sequence[Record] = ()) -> Lesson:
        """What a student learns from a teacher, see `Lesson`.

        Args:
            prepared: the data as the teacher, or the student, reads it.
            unlabelled: further records without labels, which come after those of the data.

        Raises:
            ConfigError: there are unlabelled records, and the task has no use for them.
        """

    def validation(self, prepared: Prepared, model: keras.Model) -> Callable[[], dict[str, float]]:
        """A function that measures the model after an epoch; its `samples`, if any, returns lines with outputs."""

    def figures(self, prepared: Prepared, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        """The quality of a finished model on records of a split."""

    def settled(self, prepared: Prepared, model: keras.Model) -> Prepared:
        """Settles what depends on the trained model, such as a threshold that is tuned on validation."""
        return prepared

    def manifest(self, prepared: Prepared) -> dict[str, Any]:
        """The keys of this task for the manifest of the run."""

    # --- answering and export ----------------------------------------------------------------------------------------

    def runner(self, model: keras.Model, task: Any) -> Runner:
        """A runner of the signatures of the task over a Keras model."""

    def export_task(self, task: Any, records: Sequence[Record]) -> Any:
        """The task for a .tflite file; it may have more lengths than that of the run, to save padding."""

    def signatures(self, model: keras.Model, task: Any, batch_size: int = 1) -> list[Signature]:
        """The signatures of a .tflite file, of fixed shape."""

    def served_signatures(self, model: keras.Model, task: Any) -> list[Signature]:
        """The signatures of a SavedModel, for any number of rows."""

    def check_litert_lm(self, model: keras.Model, task: Any) -> None:
        """Checks that LiteRT-LM, which runs language models, can run this one.

        Raises:
            UsageError: it cannot; with the reason.
        """
        raise UsageError(f"target litert-lm: is for language models, found one of {task.name}: take --target litert")

    def litert_lm_signatures(self, model: keras.Model, task: Any) -> list[Signature]:
        """The signatures of a model that `check_litert_lm` accepts, as LiteRT-LM runs them."""

    def text_signature(self, task: Any, served: Sequence[Signature], run_folder: Path) -> TextSignature:
        """The signature of a SavedModel that takes strings.

        Raises:
            UsageError: the tokenizer cannot run in a TensorFlow graph.
        """

    def quantize_model(
        self, model: keras.Model, quantize: str, task: Any, records: Sequence[Record]
    ) -> dict[str, Any] | None:
        """Changes a model in place if its graph or its weights depend on the number format.

        Args:
            model: in float32, with folded normalisations.
            quantize: the number format.
            task: of the export.
            records: real examples to calibrate on.

        Returns:
            What was done, for the manifest, which may be nothing to tell; None: the model is as it was.
        """

    def check(
        self, model: keras.Model, task: Any, records: Sequence[Record], max_drop: float, batch_size: int = 1
    ) -> Check:
        """The check that an export has to pass.

        Args:
            model: the Keras model, in float32.
            task: of the export.
            records: real examples.
            max_drop: maximum loss of the measure of the task.
            batch_size: of batch signatures.
        """
