"""An export is verified or it is not written: its answers against those of the Keras model, on real examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textapp.arrays import spread
from textapp.edge.answers import Inputs, save_inputs
from textapp.errors import ExportError
from textapp.export.children import run_child
from textapp.export.examples import Examples
from textapp.export.signatures import Signature

Outputs = dict[str, np.ndarray]  # signature -> probabilities [examples, classes]

MOST_ERROR_UNQUANTIZED = 1e-3
# A broken file may score as a weak model does by chance, but it does not give the same answers.
LEAST_AGREEMENT = 80.0
BATCH_SIZE = 64


@dataclass(frozen=True)
class Verdict:
    """An export that passed.

    Attributes:
        outputs: what it answered, signature -> `[examples, classes]`, or what it wrote, signature -> name -> rows.
        report: runtime, examples, max_error, agreement and the figures of the task, shares in 0 to 100.
    """

    outputs: dict[str, Any]
    report: dict[str, Any]


def model_outputs(signatures: Sequence[Signature], examples: Examples) -> Outputs:
    """The Keras model's own answers to the inputs of every signature."""
    import tensorflow as tf

    found = {}
    for signature in signatures:
        inputs = examples.inputs[signature.name]
        specs = {name: tf.TensorSpec((None, rows.shape[1]), tf.int32) for name, rows in inputs.items()}
        call = tf.function(signature.call, input_signature=[specs])
        count = len(inputs["token_ids"])
        batches = [
            call({name: tf.constant(rows[start : start + BATCH_SIZE]) for name, rows in inputs.items()})
            for start in range(0, count, BATCH_SIZE)
        ]
        found[signature.name] = np.concatenate([batch["probabilities"].numpy() for batch in batches])
    return found


class ClassificationCheck:
    """Real examples of a run, what its Keras model answers to them, and the judge of exports.

    Args:
        signatures: of fixed shape, over the Keras model.
        task: of the run.
        examples: real examples.
        max_drop: points of accuracy, 0 to 100, that an export may lose.
    """

    quality = ("examples", "accuracy", "f1_macro")
    figures = ("accuracy", "f1_macro", "max_error")

    def __init__(self, signatures: Sequence[Signature], task: Any, examples: Examples, max_drop: float) -> None:
        self.task, self.examples, self.max_drop = task, examples, max_drop
        self.expected = model_outputs(signatures, examples)

    @property
    def inputs(self) -> Inputs:
        """The inputs of all signatures."""
        return self.examples.inputs

    def verify_tflite(self, model_path: Path, target: str, quantize: str) -> Verdict:
        """Runs every signature in the target's own interpreter, in a process without TensorFlow, and compares.

        Raises:
            ExportError: the runtime does not load the file, or answers otherwise than the model.
        """
        runtime, arrays = run_in_target(model_path, target, quantize, self.inputs)
        found = {name: arrays[f"{name}/probabilities"] for name in self.inputs}
        report = compare(found, self.expected, self.task, self.examples, self.max_drop, exact=quantize == "none")
        return Verdict(found, {"runtime": runtime, **report})

    def golden(self, verdict: Verdict, most: int) -> list[dict[str, Any]]:
        """A few texts with their ids and answers: a port in another language tests itself against them."""
        golden = []
        for index in spread(range(len(self.examples.records)), most):
            signature, row = signature_of(self.examples, index)
            record, probabilities = self.examples.records[index], verdict.outputs[signature][row]
            golden.append({
                **{key: record[key] for key in ("text", "text_pair") if record.get(key) is not None},
                "signature": signature,
                "inputs": {name: rows[row].tolist() for name, rows in self.inputs[signature].items()},
                "probabilities": probabilities.tolist(),
                "label": self.task.answer(record, {"probabilities": probabilities}).label,
            })  # fmt: skip
        return golden


def signature_of(examples: Examples, index: int) -> tuple[str, int]:
    """The signature that serves an example, and its row among the inputs there."""
    return next((name, owners.index(index)) for name, owners in examples.owners.items() if index in owners)


def run_in_target(
    model_path: Path, target: str, quantize: str, inputs: Inputs, along: Inputs | None = None
) -> tuple[str, dict[str, np.ndarray]]:
    """Lets a .tflite file answer in the target's own interpreter, in a process without TensorFlow.

    Args:
        model_path: the file; scratch files are written beside it.
        target: `litert` or `tflite-runtime`.
        quantize: for errors.
        inputs: of each signature.
        along: texts to lead it along, see `textapp.edge.steps.lead_all_along`.

    Returns:
        The runtime with its version, and what `textapp.edge.answers` wrote.

    Raises:
        ExportError: the runtime does not load the file.
    """
    paths = {name: model_path.with_suffix(f".{name}.npz") for name in ("inputs", "outputs", "along")}
    save_inputs(paths["inputs"], inputs)
    job = {
        "model": str(model_path),
        "runtime": target,
        "inputs": str(paths["inputs"]),
        "outputs": str(paths["outputs"]),
    }
    if along is not None:
        save_inputs(paths["along"], along)
        job["along"] = str(paths["along"])
    child = run_child("textapp.edge.answers", job, f"running the export (quantize {quantize}) in {target}")
    if child["tensorflow"]:
        raise ExportError(
            "the process that verifies imported TensorFlow: an installed package (sitecustomize?) loads it"
        )
    with np.load(paths["outputs"]) as arrays:
        return child["runtime"], dict(arrays)


def compare(
    found: Outputs, expected: Outputs, task: Any, examples: Examples, max_drop: float, exact: bool
) -> dict[str, Any]:
    """Figures of the difference between an export and its model.

    Args:
        found: the export's answers.
        expected: the model's.
        exact: refuse an error over 0.001, for what was not quantized.

    Raises:
        ExportError: not finite, too far off, or too many answers lost.
    """
    for name in expected:
        check_finite(expected[name], f"the Keras model's own answers in {name}; train it again")
        check_finite(found[name], f"the export's answers in {name}")
    max_error = max(float(np.abs(found[name] - expected[name]).max()) for name in expected)
    if exact and max_error > MOST_ERROR_UNQUANTIZED:
        raise ExportError(
            f"the export's probabilities differ from the model's by {max_error:.4f}, at most 0.001 is allowed"
        )
    before, after = accuracy(task, examples, expected), accuracy(task, examples, found)
    if before - after > max_drop:
        raise ExportError(
            f"accuracy on {len(examples.records)} examples falls from {before:.2f} to {after:.2f}, more than the "
            f"{max_drop:g} points allowed: quantize less, or raise --max-drop"
        )
    agreement = _agreement(task, examples, expected, found)
    if agreement < LEAST_AGREEMENT:
        raise ExportError(
            f"the export answers as the model does for only {agreement:.2f} % of {len(examples.records)} examples"
        )
    return {
        "examples": len(examples.records),
        "max_error": max_error,
        "agreement": round(agreement, 2),
        "accuracy": round(after, 2),
        "f1_macro": round(f1_macro(task, examples, found), 2),
        "accuracy_of_run": round(before, 2),
    }


def check_finite(values: np.ndarray, what: str) -> None:
    if not np.isfinite(values).all():
        raise ExportError(f"NaN or infinity among {what}")


def accuracy(task: Any, examples: Examples, outputs: Outputs) -> float:
    """Share of the records, 0 to 100, whose label (or set of labels) is answered."""
    answers = _labels(task, examples, outputs)
    right = sum(_same(answer, record["label"]) for answer, record in zip(answers, examples.records, strict=True))
    return 100 * right / len(examples.records)


def f1_macro(task: Any, examples: Examples, outputs: Outputs) -> float:
    """The mean F1 of the labels, 0 to 100."""
    answers = _answers(task, examples, outputs)
    return task.score(examples.records, answers)["f1_macro"]


def _agreement(task: Any, examples: Examples, one: Outputs, other: Outputs) -> float:
    pairs = zip(_labels(task, examples, one), _labels(task, examples, other), strict=True)
    return 100 * sum(_same(a, b) for a, b in pairs) / len(examples.records)


def _labels(task: Any, examples: Examples, outputs: Outputs) -> list[Any]:
    return [answer.label for answer in _answers(task, examples, outputs)]


def _answers(task: Any, examples: Examples, outputs: Outputs) -> list[Any]:
    """The answers in the order of the records, each from the signature that a predictor would take."""
    answers: list[Any] = [None] * len(examples.records)
    for signature, owners in examples.owners.items():
        for row, index in enumerate(owners):
            probabilities: Mapping[str, np.ndarray] = {"probabilities": outputs[signature][row]}
            answers[index] = task.answer(examples.records[index], probabilities)
    return answers


def _same(one: Any, other: Any) -> bool:
    return set(one) == set(other) if isinstance(one, list) else one == other
