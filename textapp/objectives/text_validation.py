"""How a model that generates text is measured and shown while it is trained."""

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
    """Measures a model on texts that it does not train on: loss, perplexity, and the task's score.

    Args:
        model: its weights change between the calls.
        predictor: over the same model.
        source: all texts, for the loss.
        scored: records whose greedy answers are scored by the task; empty: the loss alone.
        shown: records whose greedy answers are shown by `samples`.
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
        """Loss in nats a token, perplexity, and every number of the score, 0 to 100."""
        figures = self._loss()
        if self._scored:
            scores = self._predictor.task.score(self._scored, self._predictor.batch(self._scored))
            figures |= {name: value for name, value in scores.items() if isinstance(value, float)}
        return figures

    def samples(self) -> list[str]:
        """Some records with the model's answer of this moment: the input, the text of the data, the model's."""
        lines = []
        target_field = self._predictor.task.target_field
        for record, answer in zip(self._shown, self._predictor.batch(self._shown), strict=True):
            reference = record.get(target_field, "")
            for mark, text in ((">", answer.input), ("=", reference), ("<", answer.output)):
                if text:
                    lines.append(f"  {mark} {' / '.join(text[:SHOWN_CHARACTERS].splitlines())}")
        return lines


def strided(records: Sequence[Record], max_count: int) -> list[Record]:
    """At most so many of the records, from everywhere among them. Example: `strided("abcdef", 3)` is `a`, `c`, `e`."""
    step = max(1, -(-len(records) // max_count))
    return list(records[::step])
