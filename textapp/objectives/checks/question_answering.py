"""The check of an exported reader: its spans, and their F1, are compared with the Keras model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textapp.arrays import spread
from textapp.errors import ExportError, plural
from textapp.objectives.checks.check import MIN_AGREEMENT, Arrays, Check, Verdict, check_finite, run_all
from textapp.objectives.checks.examples import Examples, make_examples
from textapp.runners.runner import Outputs, Runner
from textapp.tasks.question_answering import END, START, Question, QuestionAnswer, QuestionAnsweringTask
from textapp.tasks.task import Record

MAX_ERROR_UNQUANTIZED = 1e-2  # of a logit


class QuestionAnsweringCheck(Check):
    """See `Check`.

    Args:
        runner: of the Keras model.
        task: of the export.
        records: real examples.
        max_drop: points of F1, 0 to 100, that an export may lose.
    """

    quality = ("examples", "exact_match", "f1")
    figures = ("exact_match", "f1", "agreement", "max_error")
    text_field = "question"
    forced = None

    def __init__(self, runner: Runner, task: QuestionAnsweringTask, records: Sequence[Record], max_drop: float) -> None:
        self.task, self.max_drop = task, max_drop
        self.examples = make_examples(task, [Question(record) for record in records])
        self.inputs = self.examples.inputs
        self.expected = {name: run_all(runner, name, inputs) for name, inputs in self.inputs.items()}

    def judge(self, arrays: Arrays, runtime: str, quantize: str) -> Verdict:
        """See `Check`; without quantization every logit also has to be within 0.01 of the model's."""
        outputs = {name: {part: arrays[f"{name}/{part}"] for part in (START, END)} for name in self.inputs}
        error = max(self._error(name, outputs[name]) for name in self.inputs)
        if quantize == "none" and error > MAX_ERROR_UNQUANTIZED:
            raise ExportError(f"the export's logits differ from the model's by {error:.4f}, expected at most 0.01")
        before, after = self._answers(self.expected), self._answers(outputs)
        count = len(before)
        scores = self.task.score(self.examples.records, after)
        scores_of_run = self.task.score(self.examples.records, before)
        if scores_of_run["f1"] - scores["f1"] > self.max_drop:
            raise ExportError(
                f"F1 on {plural(count, 'question')} (each is {100 / count:.2g} points) falls from "
                f"{scores_of_run['f1']:.2f} to {scores['f1']:.2f}, expected at most {self.max_drop:g} points less: "
                "quantize less, or raise --max-drop"
            )
        same = [(one.start, one.end) == (other.start, other.end) for one, other in zip(before, after, strict=True)]
        agreement = 100 * sum(same) / count
        if agreement < MIN_AGREEMENT:
            raise ExportError(
                f"the export gives the spans of the model for {agreement:.2f} % of {plural(count, 'question')}, "
                f"expected {MIN_AGREEMENT:g}"
            )
        report = {
            "runtime": runtime,
            "examples": count,
            "max_error": error,
            "agreement": round(agreement, 2),
            "exact_match": round(scores["exact_match"], 2),
            "f1": round(scores["f1"], 2),
            "f1_of_run": round(scores_of_run["f1"], 2),
        }
        return Verdict(outputs, report)

    def golden(
        self, examples: Examples, outputs: Mapping[str, Mapping[str, np.ndarray]], max_count: int
    ) -> list[dict[str, Any]]:
        """See `Check`; a question has the inputs and logits of each of its windows."""
        golden = []
        gathered = examples.outputs_of(outputs)
        for index in spread(range(len(examples.records)), max_count):
            record, of_windows = examples.records[index], gathered[index]
            answer = self.task.answer(record, of_windows)
            golden.append({
                "question": record["question"],
                "context": record["context"],
                "windows": [
                    {
                        "signature": request.signature,
                        "inputs": dict(request.features),
                        **{part: output[part].tolist() for part in (START, END)},
                    }
                    for request, output in zip(self.task.requests(record), of_windows, strict=True)
                ],
                "answer": answer.answer,
                "start": answer.start,
                "end": answer.end,
                "score": answer.score,
            })  # fmt: skip
        return golden

    def text_calls(self) -> list[list[int]]:
        """None: there is no `text` signature."""
        return []

    def check_text(self, index: int, outputs: Mapping[str, Any], verdict: Verdict) -> None:
        """See `Check`; there is no `text` signature."""

    def _error(self, name: str, of_export: Outputs) -> float:
        """The largest difference of a logit; padding, whose logits nobody reads, does not count."""
        real = self.inputs[name]["token_ids"] != self.task.tokenizer.pad_id
        errors = []
        for part in (START, END):
            check_finite(self.expected[name][part], f"the outputs of the Keras model in {name}: train it again")
            check_finite(of_export[part], f"the outputs of the export in {name}")
            errors.append(float(np.abs((of_export[part] - self.expected[name][part]) * real).max()))
        return max(errors)

    def _answers(self, outputs: Mapping[str, Outputs]) -> list[QuestionAnswer]:
        gathered = self.examples.outputs_of(outputs)
        return [self.task.answer(*pair) for pair in zip(self.examples.records, gathered, strict=True)]
