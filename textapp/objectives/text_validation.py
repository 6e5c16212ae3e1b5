"""Validation of a model that generates text after each epoch: figures and samples."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from textapp.batches.pipeline import BatchSource
from textapp.objectives.language import TeacherForced
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.task import Record

SHOWN_SAMPLES = 3
SHOWN_CHARACTERS = 300  # of one text


class TextValidation:
    """Measures a model in training on validation texts: loss, perplexity, and the score of the task.

    Args:
        model: its weights change between the calls.
        predictor: over the same model.
        source: all texts, for the loss.
        scored: records whose greedy outputs are scored by the task; empty: only the loss.
        shown: records whose greedy outputs `samples` returns.
    """

    def __init__(
        self,
        model: keras.Model,
        predictor: GenerativePredictor,
        source: BatchSource,
        scored: Sequence[Record] = (),
        shown: Sequence[Record] = (),
    ) -> None:
        self._loss = TeacherForced(model, source)
        self._predictor, self._scored, self._shown = predictor, list(scored), list(shown)

    def __call__(self) -> dict[str, float]:
        """Loss in nats per token, perplexity, and every figure of the score, 0 to 100."""
        figures = self._loss()
        if self._scored:
            scores = self._predictor.task.score(self._scored, self._predictor.batch(self._scored))
            figures |= {name: value for name, value in scores.items() if isinstance(value, float)}
        return figures

    def samples(self) -> list[str]:
        """Lines with input (>), reference (=) and current output (<) of some records."""
        lines = []
        target_field = self._predictor.task.target_field
        for record, answer in zip(self._shown, self._predictor.batch(self._shown), strict=True):
            reference = record.get(target_field, "")
            for mark, text in ((">", answer.input), ("=", reference), ("<", answer.output)):
                if text:
                    lines.append(f"  {mark} {' / '.join(text[:SHOWN_CHARACTERS].splitlines())}")
        return lines


def strided(records: Sequence[Record], max_count: int) -> list[Record]:
    """At most `max_count` records at equal distances. Example: `strided("abcdef", 3)` is `a`, `c`, `e`."""
    step = max(1, -(-len(records) // max_count))
    return list(records[::step])
