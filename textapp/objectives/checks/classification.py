"""The check of an exported classifier: its labels and probabilities are compared with the Keras model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textapp.arrays import spread
from textapp.errors import ExportError, plural
from textapp.objectives.checks.check import MIN_AGREEMENT, Arrays, Check, Verdict, check_finite, run_all
from textapp.objectives.checks.examples import Examples, make_examples
from textapp.runners.runner import Outputs, Runner
from textapp.tasks.classification import ClassificationAnswer, ClassificationTask
from textapp.tasks.task import Record

MAX_ERROR_UNQUANTIZED = 1e-3
PROBABILITIES = "probabilities"


class ClassificationCheck(Check):
    """See `Check`.

    Args:
        runner: of the Keras model.
        task: of the run.
        records: real examples.
        max_drop: points of accuracy, 0 to 100, that an export may lose.
    """

    quality = ("examples", "accuracy", "f1_macro")
    figures = ("accuracy", "f1_macro", "max_error")
    text_field = "text"
    forced = None

    def __init__(self, runner: Runner, task: ClassificationTask, records: Sequence[Record], max_drop: float) -> None:
        self.task, self.max_drop = task, max_drop
        self.examples = make_examples(task, records)
        self.inputs = self.examples.inputs
        self.expected = {name: run_all(runner, name, inputs) for name, inputs in self.inputs.items()}

    def judge(self, arrays: Arrays, runtime: str, quantize: str) -> Verdict:
        """See `Check`; without quantization every probability also has to be within 0.001 of the model's."""
        outputs = {name: {PROBABILITIES: arrays[f"{name}/{PROBABILITIES}"]} for name in self.inputs}
        errors = []
        for name, expected in self.expected.items():
            of_model, of_export = expected[PROBABILITIES], outputs[name][PROBABILITIES]
            check_finite(of_model, f"the outputs of the Keras model in {name}: train it again")
            check_finite(of_export, f"the outputs of the export in {name}")
            errors.append(float(np.abs(of_export - of_model).max()))
        if quantize == "none" and max(errors) > MAX_ERROR_UNQUANTIZED:
            raise ExportError(
                f"the export's probabilities differ from the model's by {max(errors):.4f}, expected at most 0.001"
            )
        answers, answers_of_run = self._answers(outputs), self._answers(self.expected)
        before, after = self._accuracy(answers_of_run), self._accuracy(answers)
        count = len(self.examples.records)
        if before - after > self.max_drop:
            raise ExportError(
                f"accuracy on {plural(count, 'example')} (each is {100 / count:.2g} points) falls from "
                f"{before:.2f} to {after:.2f}, expected at most {self.max_drop:g} points less: quantize less, or "
                "raise --max-drop"
            )
        same = [_same(one.label, other.label) for one, other in zip(answers_of_run, answers, strict=True)]
        agreement = 100 * sum(same) / count
        if agreement < MIN_AGREEMENT:
            raise ExportError(
                f"the export agrees with the model on {agreement:.2f} % of {plural(count, 'example')}, expected "
                f"{MIN_AGREEMENT:g}"
            )
        report = {
            "runtime": runtime,
            "examples": count,
            "max_error": max(errors),
            "agreement": round(agreement, 2),
            "accuracy": round(after, 2),
            "f1_macro": round(self.task.score(self.examples.records, answers)["f1_macro"], 2),
            "accuracy_of_run": round(before, 2),
        }
        return Verdict(outputs, report)

    def golden(
        self, examples: Examples, outputs: Mapping[str, Mapping[str, np.ndarray]], max_count: int
    ) -> list[dict[str, Any]]:
        """See `Check`."""
        golden = []
        for index in spread(range(len(examples.records)), max_count):
            signature, row = examples.locate(index)
            record, probabilities = examples.records[index], outputs[signature][PROBABILITIES][row]
            golden.append({
                **{key: record[key] for key in ("text", "text_pair") if record.get(key) is not None},
                "signature": signature,
                "inputs": {name: rows[row].tolist() for name, rows in examples.inputs[signature].items()},
                "probabilities": probabilities.tolist(),
                "label": self.task.answer(record, [{PROBABILITIES: probabilities}]).label,
            })  # fmt: skip
        return golden

    def text_calls(self) -> list[list[int]]:
        """All records in one call."""
        return [list(range(len(self.examples.records)))]

    def check_text(self, index: int, outputs: Mapping[str, Any], verdict: Verdict) -> None:
        """See `Check`."""
        signature, row = self.examples.locate(index)
        error = float(np.abs(outputs[PROBABILITIES] - verdict.outputs[signature][PROBABILITIES][row]).max())
        if not error <= MAX_ERROR_UNQUANTIZED:
            raise ExportError(
                f"the probabilities of the text and the tokens signature differ by {error:.4f} for "
                f"{self.examples.records[index]['text'][:80]!r}: export without it"
            )

    def _answers(self, outputs: Mapping[str, Outputs]) -> list[ClassificationAnswer]:
        gathered = self.examples.outputs_of(outputs)
        return [self.task.answer(*pair) for pair in zip(self.examples.records, gathered, strict=True)]

    def _accuracy(self, answers: Sequence[ClassificationAnswer]) -> float:
        """The accuracy, 0 to 100; a set of labels has to be equal."""
        records = self.examples.records
        right = sum(_same(answer.label, record["label"]) for answer, record in zip(answers, records, strict=True))
        return 100 * right / len(records)


def _same(one: Any, other: Any) -> bool:
    return set(one) == set(other) if isinstance(one, list) else one == other
