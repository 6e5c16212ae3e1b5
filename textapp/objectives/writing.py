"""What translation and generation share beside the loss: how a model that writes is measured and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from textapp.batches.pipeline import BatchSource
from textapp.generative import GenerativePredictor
from textapp.objectives.generator_runner import GeneratorRunner
from textapp.objectives.language import TeacherForced
from textapp.tasks.writing import WritingTask

SHOWN_SAMPLES = 3
SHOWN_CHARACTERS = 300  # of one text
Record = Mapping[str, Any]


class WritingValidation:
    """Measures a model that writes on texts that it does not train on: loss, perplexity, and the task's score.

    Args:
        model: its weights change between the calls.
        task: resolved, with its lengths.
        source: all texts, for the loss.
        scored: records whose greedy answers are scored by the task; empty: the loss alone.
        shown: records whose greedy answers are shown by `samples`.
    """

    def __init__(
        self,
        model: keras.Model,
        task: WritingTask,
        source: BatchSource,
        scored: Sequence[Record] = (),
        shown: Sequence[Record] = (),
    ) -> None:
        self._loss = TeacherForced(model, source)
        self._predictor = writer(model, task)
        self._task, self._scored, self._shown = task, list(scored), list(shown)

    def __call__(self) -> dict[str, float]:
        """Loss in nats a token, perplexity, and every number of the score, 0 to 100."""
        figures = self._loss()
        if self._scored:
            scores = self._task.score(self._scored, self._predictor.batch(self._scored))
            figures |= {name: value for name, value in scores.items() if isinstance(value, float)}
        return figures

    def samples(self) -> list[str]:
        """Some records with the model's answer of this moment: the input, the text of the data, the model's."""
        lines = []
        for record, answer in zip(self._shown, self._predictor.batch(self._shown), strict=True):
            reference = record.get("target", record.get("text", ""))
            for mark, text in ((">", answer.input), ("=", reference), ("<", answer.output)):
                if text:
                    lines.append(f"  {mark} {' / '.join(text[:SHOWN_CHARACTERS].splitlines())}")
        return lines


def writer(model: keras.Model, task: WritingTask) -> GenerativePredictor:
    """Answers over a model in memory; later changes of its weights show."""
    manifest = {"task": task.name, "lengths": task.lengths, "generate_lengths": task.generate_lengths}
    return GenerativePredictor(task, GeneratorRunner(model, manifest), manifest, Path())


def spread(records: Sequence[Record], most: int) -> list[Record]:
    """At most so many of the records, from everywhere among them. Example: `spread("abcdef", 3)` is `a`, `c`, `e`."""
    step = max(1, -(-len(records) // most))
    return list(records[::step])
