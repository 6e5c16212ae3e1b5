"""Validation of a classifier after each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from textapp.batches.pipeline import evaluation_batches
from textapp.metrics import quality
from textapp.runners.runner import Runner
from textapp.tasks.classification import MIN_PROBABILITY, ClassificationTask
from textapp.tasks.task import smallest


class LabelValidation:
    """Measures a model in training on validation examples.

    Args:
        runner: of the model, whose weights change between the calls.
        task: with the labels and buckets.
        features: unpadded, as for training.
        targets: `[examples]` int32, or `[examples, labels]` float32.
    """

    def __init__(
        self,
        runner: Runner,
        task: ClassificationTask,
        features: Mapping[str, Sequence[np.ndarray]],
        targets: np.ndarray,
    ) -> None:
        self._runner, self._task, self._features, self._targets = runner, task, features, targets

    def __call__(self) -> dict[str, float]:
        """Accuracy and macro F1, 0 to 100, and the mean loss."""
        probabilities = self._probabilities()
        labels, targets = np.array(self._task.labels, object), self._targets
        if self._task.multiple:
            expected = [labels[row > 0].tolist() for row in targets]
            predicted = [labels[row >= MIN_PROBABILITY].tolist() for row in probabilities]
            scores = quality.multilabel_scores(expected, predicted, self._task.labels, None)
            correct = np.where(targets > 0, probabilities, 1 - probabilities)
        else:
            predicted = labels[probabilities.argmax(axis=1)].tolist()
            scores = quality.classification_scores(labels[targets].tolist(), predicted, self._task.labels, None)
            correct = probabilities[np.arange(len(targets)), targets]
        loss = float(-np.log(np.maximum(correct, 1e-7)).mean())
        return {"loss": loss, "accuracy": scores["accuracy"], "f1_macro": scores["f1_macro"]}

    def _probabilities(self) -> np.ndarray:
        """`[examples, labels]` float32, in the order of the examples."""
        rows = np.zeros((len(self._targets), len(self._task.labels)), np.float32)
        task = self._task
        for chosen, features in evaluation_batches(
            self._features, task.lengths, task.tokenizer.pad_id, self._runner.max_batch
        ):
            signature, _ = smallest(task.signatures, features["token_ids"].shape[1])
            rows[chosen] = self._runner.run(signature, features)["probabilities"]
        return rows
