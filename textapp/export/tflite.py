"""Converts a Keras model to a .tflite file, for LiteRT and for the older tflite-runtime."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.errors import ExportError
from textapp.export.children import SERVE, ForkingChild, run_child, serve
from textapp.export.flatbuffer.graphs import parse
from textapp.export.flatbuffer.in_place import write_in_place
from textapp.export.flatbuffer.merge import merge
from textapp.export.flatbuffer.sinking import sink_weights

if TYPE_CHECKING:
    import keras

    from textapp.objectives.signature import Signature, TextSignature


def write_saved_model(
    model: keras.Model, signatures: Sequence[Signature], folder: Path, text: TextSignature | None = None
) -> None:
    """Writes a SavedModel with the variables of `model`.

    Keras' ExportArchive does the same, but traces every signature twice and writes every variable twice.

    Args:
        model: the Keras model that the signatures call.
        signatures: of the SavedModel.
        folder: to write.
        text: a further signature `text`, which takes strings.
    """
    import tensorflow as tf

    calls = {signature.name: (signature.call, signature.specs()) for signature in signatures}
    module = tf.Module()
    if text is not None:
        module.resources = list(text.resources)
        calls["text"] = (text.call, tf.TensorSpec([None], tf.string, name="text"))
    functions = {
        name: tf.function(call, input_signature=[specs]).get_concrete_function()
        for name, (call, specs) in calls.items()
    }
    # Those of the model, and others that a signature reads, such as the int8 rows of a table.
    variables = [weight.value for weight in model.weights]
    variables += [variable for function in functions.values() for variable in function.graph.variables]
    module.kept = list({id(variable): variable for variable in variables}.values())
    # Keras' quantized products have gradients of their own, a function each, which nobody who is served asks for.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=functions, options=options)


def convert(
    saved_model: Path, model_path: Path, signatures: Sequence[str], target: str, quantize: str, calibration: Path
) -> None:
    """Converts in a separate process, because the converter leaks about 20 MB per call.

    Args:
        saved_model: from `write_saved_model`, with fixed shapes.
        model_path: the file to write.
        signatures: their names.
        target: `litert` or `tflite-runtime`.
        quantize: `none`: float32. `float16`: float16 weights, computed in float32. `dynamic`: int8 weights,
            activations quantized at run time. `int8`: weights and activations int8, with ranges calibrated on
            examples; ops without int8 kernel stay float.
        calibration: inputs as `textapp.runners.inputs.save_inputs` writes them; read for `int8` only.

    Raises:
        ExportError: the model has an op that is not a builtin of the target, or the file cannot be written.
    """
    job = {
        "saved_model": str(saved_model), "model": str(model_path), "signatures": list(signatures),
        "target": target, "quantize": quantize, "calibration": str(calibration),
    }  # fmt: skip
    run_child("textapp.export.tflite", job, f"converting to {target} with quantize {quantize}")


def convert_apart(
    model: keras.Model,
    signatures: Sequence[Signature],
    model_path: Path,
    target: str,
    quantize: str,
    calibration: Path,
) -> None:
    """Writes and converts a large model, each signature from a SavedModel and in a process of its own.

    The converter reads all of a SavedModel, and its memory and time grow with the signatures. While one is converted,
    the graph of the next is traced. The files are merged, so that weights stand in the file once.

    Args:
        model: the Keras model that the signatures call.
        signatures: of the file.
        model_path: the file to write; scratch files are written beside it.
        target, quantize, calibration: as for `convert`.

    Raises:
        ExportError: as `convert`.
    """
    what = f"converting to {target} with quantize {quantize}"
    saved = [model_path.with_name(f"{model_path.stem}_{signature.name}") for signature in signatures]
    files = [folder.with_suffix(".tflite") for folder in saved]
    jobs: list[Future[None]] = []
    with ForkingChild("textapp.export.tflite") as child, ThreadPoolExecutor(1) as pool:
        for signature, folder, file in zip(signatures, saved, files, strict=True):
            for job in jobs[:-1]:
                job.result()  # so there are two SavedModels at most
            write_saved_model(model, [signature], folder)
            options = {"target": target, "quantize": quantize, "calibration": str(calibration)}
            work = {"saved_model": str(folder), "model": str(file), "signatures": [signature.name], "apart": True}
            jobs.append(pool.submit(_convert_one, child, work | options, f"{what}: {signature.name}"))
        for job in jobs:
            job.result()
        child.run({"files": [str(file) for file in files], "model": str(model_path)}, what)
    for file in files:
        file.unlink()


def _convert_one(child: ForkingChild, job: dict[str, Any], what: str) -> None:
    child.run(job, what)
    shutil.rmtree(job["saved_model"])


def operators(model_path: Path) -> list[str]:
    """The ops of a .tflite file that are not builtins, by name: `["FlexTensorListReserve"]`."""
    model = parse(model_path.read_bytes())
    custom = {code.customCode for code in model.operatorCodes if code.customCode}
    return sorted(name.decode() if isinstance(name, bytes) else str(name) for name in custom)


def signature_shapes(model_path: Path) -> dict[str, Any]:
    """The shapes that a .tflite file declares: `{"classify_16": {"inputs": {"token_ids": [1, 16]}, ...}}`."""
    model = parse(model_path.read_bytes())
    found = {}
    for signature in model.signatureDefs:
        tensors = model.subgraphs[signature.subgraphIndex].tensors
        found[signature.signatureKey.decode()] = {
            side: {
                entry.name.decode(): [int(size) for size in tensors[entry.tensorIndex].shape]
                for entry in sorted(entries, key=lambda entry: entry.name)
            }
            for side, entries in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
    return found


def check_builtins(model_path: Path) -> None:
    """Checks that a file has only ops that a runtime without TensorFlow has.

    Raises:
        ExportError: it has others; names them.
    """
    found = operators(model_path)
    if found:
        raise ExportError(f"the model needs ops that are not builtins of TensorFlow Lite: {', '.join(found)}")


# --- in the child -------------------------------------------------------------------------------------------------


def _convert(job: Mapping[str, Any]) -> None:
    file = Path(job["model"])
    if "files" in job:
        content = merge(Path(part).read_bytes() for part in job["files"])
    elif job.get("apart"):
        file.write_bytes(_converted(job, job["signatures"]))
        return
    elif _needs_older_quantizer(job):
        content = merge(_converted(job, [name]) for name in job["signatures"])
    else:
        content = _converted(job, job["signatures"])
    file.write_bytes(write_in_place(sink_weights(content)))


def _lean(saved_model: str, signature: str) -> Any:
    """A converter for one signature, whose `convert` reads the variables once.

    That of TensorFlow restores them two times more, for the source lines of error messages: 5 s and twice the weights.
    """
    import tensorflow as tf
    from tensorflow.lite.python.lite import TFLiteSavedModelConverterV2

    class Lean(TFLiteSavedModelConverterV2):  # type: ignore[misc]
        def convert(self) -> bytes:
            return self._convert_from_saved_model(tf.compat.v1.GraphDef())

    return Lean(saved_model, {tf.saved_model.SERVING}, [signature])


def _needs_older_quantizer(job: Mapping[str, Any]) -> bool:
    """tflite-runtime 2.14 lacks FULLY_CONNECTED version 12 of the newer quantizer."""
    return job["target"] == "tflite-runtime" and job["quantize"] == "dynamic"


def _converted(job: Mapping[str, Any], signatures: Sequence[str]) -> bytes:
    """Converts to a .tflite file."""
    import tensorflow as tf

    if job.get("apart"):
        converter = _lean(job["saved_model"], signatures[0])
    else:
        converter = tf.lite.TFLiteConverter.from_saved_model(job["saved_model"], signature_keys=signatures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.experimental_new_dynamic_range_quantizer = not _needs_older_quantizer(job)
    if job["quantize"] != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if job["quantize"] == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if job["quantize"] == "int8":
        converter.representative_dataset = lambda: _calibration_rows(job["calibration"], signatures)
    return converter.convert()


def _calibration_rows(path: str, signatures: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    from textapp.runners.inputs import load_inputs

    inputs = load_inputs(path)
    for signature in signatures:
        named = inputs[signature]
        for index in range(len(next(iter(named.values())))):
            yield signature, {name: rows[index : index + 1] for name, rows in named.items()}


def _reason(error: Exception) -> str:
    """The relevant part of the converter's long message: the names of the ops."""
    message = str(error)
    listed = re.findall(r"(?:Flex|Custom) ops: ([^\n]*)", message)
    ops = listed or re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", message)
    if ops:
        return f"the model needs ops that are not builtins of TensorFlow Lite: {', '.join(dict.fromkeys(ops))}"
    return " ".join(message.split())[:500]


def main(arguments: Sequence[str]) -> None:
    """Runs a conversion job and prints `{}` or `{"error": message}`."""
    from tensorflow.lite.python.convert import ConverterError

    if arguments[0] == SERVE:
        serve(main)  # TensorFlow is imported and has started no threads yet
        return
    try:
        _convert(json.loads(arguments[0]))
        print("{}")
    except (ConverterError, ValueError, RuntimeError, OSError) as error:
        print(json.dumps({"error": _reason(error)}))


if __name__ == "__main__":
    main(sys.argv[1:])
