"""Exports a Keras model as a SavedModel for servers, verified in a separate process."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.decoding.forced import force_all
from textapp.export.answers import with_own
from textapp.export.children import run_child
from textapp.export.tflite import write_saved_model
from textapp.noise import suppress_stderr
from textapp.runners.inputs import Inputs, load_inputs, save_inputs
from textapp.runners.saved_model import FOLDER, SavedModelRunner

if TYPE_CHECKING:
    import keras

    from textapp.objectives.checks.check import Check, Verdict
    from textapp.objectives.signature import Signature, TextSignature


def write_served(
    folder: Path,
    work: Path,
    model: keras.Model,
    signatures: Sequence[Signature],
    text: TextSignature | None,
    check: Check,
    quantize: str = "none",
) -> tuple[Verdict, dict[str, Any]]:
    """Writes and verifies `saved_model/`.

    Args:
        folder: of the bundle.
        work: for scratch files.
        model: the Keras model; but for what is quantized, in float32.
        signatures: for any number of rows.
        text: the signature that takes strings, if requested.
        check: that it has to pass.
        quantize: the number format of the weights.

    Returns:
        The verdict, and the shapes of the signatures.

    Raises:
        ExportError: its outputs differ from those of the model.
    """
    saved = folder / FOLDER
    write_saved_model(model, signatures, saved, text)
    shapes = _shapes(signatures, text, saved)
    calls = check.text_calls() if text is not None else []
    records, field = check.examples.records, check.text_field
    texts = [[records[index][field] for index in call] for call in calls]
    runtime, arrays = run_saved_model(saved, work, check.inputs, texts, check.forced)
    verdict = check.judge(arrays, runtime, quantize)
    by_text = {name.split("/")[1]: values for name, values in arrays.items() if name.startswith("text/")}
    for row, index in enumerate(index for call in calls for index in call):
        check.check_text(index, {name: values[row] for name, values in by_text.items()}, verdict)
    return verdict, shapes


def _shapes(signatures: Sequence[Signature], text: TextSignature | None, folder: Path) -> dict[str, Any]:
    """The shapes of the signatures of a SavedModel; inputs as given, outputs as declared in it."""
    import tensorflow as tf

    inputs = {
        signature.name: {name: list(shape) for name, shape in signature.inputs.items()} for signature in signatures
    }
    if text is not None:
        inputs["text"] = {"text": [None]}
    with suppress_stderr():
        loaded = tf.saved_model.load(str(folder)).signatures
    outputs = {name: loaded[name].structured_outputs for name in inputs}
    return {
        name: {"inputs": shapes, "outputs": {key: outputs[name][key].shape.as_list() for key in sorted(outputs[name])}}
        for name, shapes in inputs.items()
    }


def run_saved_model(
    folder: Path, work: Path, inputs: Inputs, texts: Sequence[Sequence[str]] = (), forced: Inputs | None = None
) -> tuple[str, dict[str, np.ndarray]]:
    """Runs a SavedModel in a separate process.

    Args:
        folder: the SavedModel.
        work: for scratch files.
        inputs: of each signature.
        texts: groups of strings for the text signature.
        forced: texts for forced decoding, see `textapp.decoding.forced.force_all`.

    Returns:
        The runtime with its version, and the outputs: `generate_16_24/token_ids`, `text/probabilities`.
    """
    paths = {name: work / f"{name}.npz" for name in ("inputs", "outputs", "forced")}
    save_inputs(paths["inputs"], inputs)
    (work / "texts.json").write_text(json.dumps([list(group) for group in texts]), encoding="utf-8")
    job = {"folder": str(folder), "inputs": str(paths["inputs"]), "texts": str(work / "texts.json"),
           "outputs": str(paths["outputs"])}  # fmt: skip
    if forced is not None:
        save_inputs(paths["forced"], forced)
        job["forced"] = str(paths["forced"])
    child = run_child("textapp.export.saved_model", job, "running the SavedModel")
    with np.load(paths["outputs"]) as arrays:
        return child["runtime"], dict(arrays)


# --- in the child -------------------------------------------------------------------------------------------------


def _answer(job: Mapping[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    runner = SavedModelRunner(Path(job["folder"]).parent)
    size, outputs = runner.max_batch, {}
    for signature, named in load_inputs(job["inputs"]).items():
        starts = range(0, len(named["token_ids"]), size)
        parts = [runner.run(signature, {name: rows[at : at + size] for name, rows in named.items()}) for at in starts]
        outputs |= _joined(signature, parts)
    if "forced" in job:
        outputs |= force_all(runner, with_own(load_inputs(job["forced"]), outputs))
    texts = json.loads(Path(job["texts"]).read_text(encoding="utf-8"))
    if texts:
        parts = [group[at : at + size] for group in texts for at in range(0, len(group), size)]
        outputs |= _joined("text", [runner.texts(part) for part in parts])
    np.savez(job["outputs"], **outputs)
    return {"runtime": f"tensorflow {tf.__version__}"}


def _joined(signature: str, parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # np.savez would pickle objects; arrays of text need no pickle.
    return {f"{signature}/{name}": _text_array(values) for name, values in joined.items()}


def _text_array(values: np.ndarray) -> np.ndarray:
    """Converts strings of TensorFlow, bytes in an array of objects, to an array of text."""
    return np.array([value.decode("utf-8") for value in values]) if values.dtype == object else values


if __name__ == "__main__":
    print(json.dumps(_answer(json.loads(sys.argv[1]))))
