"""Runs a .tflite file in the interpreter of its target, in a process without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from textapp.errors import ExportError
from textapp.export.children import run_child
from textapp.runners.inputs import Inputs, save_inputs


def run_in_target(
    model_path: Path, target: str, quantize: str, inputs: Inputs, forced: Inputs | None = None, threads: int = 1
) -> tuple[str, dict[str, np.ndarray]]:
    """Runs a .tflite file in the interpreter of its target, in a process without TensorFlow.

    Args:
        model_path: the file; scratch files are written beside it.
        target: `litert` or `tflite-runtime`.
        quantize: its number format, for error messages.
        inputs: of each signature.
        forced: texts for forced decoding, see `textapp.decoding.forced.force_all`.
        threads: of the interpreter.

    Returns:
        The runtime with its version, and the outputs of `textapp.export.answers`.

    Raises:
        ExportError: the runtime does not load the file.
    """
    paths = {name: model_path.with_suffix(f".{name}.npz") for name in ("inputs", "outputs", "forced")}
    save_inputs(paths["inputs"], inputs)
    job = {
        "model": str(model_path),
        "runtime": target,
        "threads": threads,
        "inputs": str(paths["inputs"]),
        "outputs": str(paths["outputs"]),
    }
    if forced is not None:
        save_inputs(paths["forced"], forced)
        job["forced"] = str(paths["forced"])
    child = run_child("textapp.export.answers", job, f"running the export (quantize {quantize}) in {target}")
    if child["tensorflow"]:
        raise ExportError(
            "the verifying process imported TensorFlow, expected none: an installed package (sitecustomize?) loads it"
        )
    with np.load(paths["outputs"]) as arrays:
        return child["runtime"], dict(arrays)
