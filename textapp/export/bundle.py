"""From a run to a bundle: converted, verified, and only then put in its place."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.artifact import (
    TARGET_TOKENIZER,
    TOKENIZER,
    Artifact,
    check_place,
    replaced_folder,
    write_fault,
    write_manifest,
)
from textapp.edge.answers import Inputs, save_inputs
from textapp.edge.interpreter import PACKAGES, available
from textapp.errors import ExportError, UsageError
from textapp.export import auto, saved_model, saved_writing, tflite
from textapp.export.auto import Candidate
from textapp.export.examples import make_examples, verification_and_calibration
from textapp.export.flatbuffer.loops import check_loops, loop_copies
from textapp.export.folding import fold_norms
from textapp.export.lengths import finer_lengths
from textapp.export.signatures import signatures_of
from textapp.export.verify import ClassificationCheck, Verdict
from textapp.export.verify_writing import WritingCheck
from textapp.tasks import task_from_manifest
from textapp.text.tokenizer import load_tokenizers

_logger = logging.getLogger("textapp")
TARGETS = (*tflite.TARGETS, "saved_model")
NUM_GOLDEN = 3
MOST_ROWS = 64  # texts a call: more take memory and gain nothing, a language model from 5 on
INT8_REFUSED = (
    "quantize int8 needs the ranges of all activations, and the converter finds none inside the loop that writes a "
    "text: take dynamic, whose weights are int8, too"
)
COPIES = (
    "quantize %s: KerasHub's own layers are right but slow: each token copies at least %.3f MB of keys, values and "
    "weights, and %.3f MB that should be int8 stay float; presets of GPT-2's or Llama's shape are rebuilt without that"
)


def export_run(
    run: Artifact,
    target: str,
    quantize: str = "none",
    max_drop: float = 0.5,
    records: Sequence[Mapping[str, Any]] = (),
    text_signature: bool = False,
    out: str | Path | None = None,
    batch_size: int = 1,
) -> Path:
    """Exports a run's model and verifies it on real examples.

    Args:
        run: an opened run folder.
        target: `litert`, `tflite-runtime` or `saved_model`.
        quantize: `none`, `float16`, `dynamic`, `int8` or `auto`; a SavedModel takes `none` and `auto` (the same there).
        max_drop: what the export may lose against the run: points of accuracy or of BLEU, percent of perplexity.
        records: labelled examples, at best 200 or more, to verify with and to calibrate int8.
        text_signature: a SavedModel that also takes raw strings.
        out: another folder than `<run>/exports/<target>/`.
        batch_size: of a .tflite file that writes: signatures that take so many texts at once, beside those for one.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: refused; what stood at the bundle's place before stays as it was.
        UsageError: the target does not take these options, or its interpreter is not installed.
    """
    _check_call(run, target, quantize, records, text_signature, batch_size)
    final = Path(out) if out is not None else run.path / "exports" / target
    check_place(final, "bundle")
    try:
        with replaced_folder(final) as folder, tempfile.TemporaryDirectory(prefix="textapp-export-") as work:
            _fill(folder, Path(work), run, target, quantize, max_drop, records, text_signature, batch_size)
    except OSError as error:
        raise ExportError(
            f"{final}: could not be written: {write_fault(error)}; an export that was there before is unchanged"
        ) from error
    return final


def _check_call(
    run: Artifact, target: str, quantize: str, records: Sequence[Mapping[str, Any]], text_signature: bool,
    batch_size: int,
) -> None:  # fmt: skip
    if target not in TARGETS:
        raise UsageError(f"target '{target}' is unknown, expected one of {', '.join(TARGETS)}")
    if quantize not in (*tflite.QUANTIZATIONS, "auto"):
        raise UsageError(f"quantize '{quantize}' is unknown, expected one of {', '.join(tflite.QUANTIZATIONS)}, auto")
    if run.kind != "run":
        raise UsageError(f"{run.path}: is a {run.kind}, expected a run folder: export the run that it came from")
    if quantize == "int8" and run.manifest["task"] != "classification":
        raise UsageError(INT8_REFUSED)
    if target == "saved_model" and quantize not in ("none", "auto"):
        raise UsageError(f"target saved_model takes quantize none, found '{quantize}': int8 is for the .tflite targets")
    if target != "saved_model" and text_signature:
        raise UsageError("the text signature needs target saved_model: a .tflite file takes token ids")
    _check_batch_size(run, target, batch_size)
    if target in PACKAGES and target not in available():
        raise UsageError(
            f"target {target} is verified in its own interpreter, which is missing: pip install 'textapp[{target}]'"
        )
    if not records:
        raise ExportError(f"{run.path}: an export is verified on real examples, and none were found")


def _check_batch_size(run: Artifact, target: str, batch_size: int) -> None:
    if not 1 <= batch_size <= MOST_ROWS:
        raise UsageError(f"batch size: found {batch_size}, expected 1 to {MOST_ROWS}")
    if batch_size > 1 and target == "saved_model":
        raise UsageError(f"batch size {batch_size}: a SavedModel takes batches of any size, leave it out")
    if batch_size > 1 and run.manifest["task"] == "classification":
        raise UsageError(f"batch size {batch_size}: is for models that write texts, leave it out")


def _fill(
    folder: Path, work: Path, run: Artifact, target: str, quantize: str, max_drop: float,
    records: Sequence[Mapping[str, Any]], text_signature: bool, batch_size: int,
) -> None:  # fmt: skip
    """Writes the whole bundle into `folder`, the manifest last."""
    task = task_from_manifest(run.manifest, load_tokenizers(run.path))
    manifest = {**run.manifest, "batch_size": batch_size} if batch_size > 1 else run.manifest
    if target != "saved_model" and manifest["task"] == "classification" and manifest["lengths_from"] == "data":
        counts = [len(task.features(record)["token_ids"]) for record in records]
        manifest = {**run.manifest, "lengths": finer_lengths(run.manifest["lengths"], counts)}
        task = task_from_manifest(manifest, task.tokenizer)
    verified, calibrated = verification_and_calibration(records)
    model = load_float32(run.path / "model.keras")
    if manifest["task"] == "classification":
        signatures = signatures_of(model, manifest)
        check = ClassificationCheck(signatures, task, make_examples(task, verified), max_drop)
    else:
        check = WritingCheck(model, task, verified, manifest, max_drop)
    if target == "saved_model":
        write = saved_model.write_bundle if manifest["task"] == "classification" else saved_writing.write_bundle
        _logger.info("%s: writing, and verifying on %d examples", target, len(check.examples.records))
        result = write(folder, work, run, model, check, text_signature)
    else:
        fold_norms(model)
        save_inputs(work / "calibration.npz", _calibration(task, calibrated))
        result = _tflite(folder, work, _maker(work, model, manifest, target, check), target, quantize, check)
    for name in (TOKENIZER, TARGET_TOKENIZER):
        if (run.path / name).is_dir():
            shutil.copytree(run.path / name, folder / name)
    golden = check.golden(result["verdict"], NUM_GOLDEN)
    _write_golden(folder / "golden.json", golden)
    write_manifest(folder, _manifest(run, manifest, target, result, check))


def _calibration(task: Any, records: Sequence[Mapping[str, Any]]) -> Inputs:
    """Inputs to find the ranges of activations with, of a task that int8 serves."""
    return make_examples(task, records).inputs if task.name == "classification" else {}


def _maker(work: Path, model: Any, manifest: Mapping[str, Any], target: str, check: Any) -> Callable[[str], Candidate]:
    """From a way of quantizing to a verified file. `dynamic` rounds the model itself, so float files come before it."""
    writes, copies = manifest["task"] != "classification", getattr(model, "loops_copy", False)

    def make(way: str) -> Candidate:
        source = work / ("rounded_model" if writes and way == "dynamic" else "saved_model")
        if writes and way == "dynamic":
            model.round_tables()
        signatures = signatures_of(model, manifest)
        names = [signature.name for signature in signatures]
        if not source.exists():
            tflite.write_saved_model(model, signatures, source)
        file = work / f"{way}.tflite"
        _logger.info("%s, quantize %s: converting", target, way)
        tflite.convert(source, file, names, target, way, work / "calibration.npz")
        tflite.check_builtins(file)
        if writes and not copies:
            check_loops(file, way)
        _logger.info("%s, quantize %s: verifying on %d examples", target, way, len(check.examples.records))
        verdict = check.verify_tflite(file, target, way)
        if copies:
            verdict.report.update(loop_copies(file, way))
            _logger.warning(COPIES, way, verdict.report["copied_mb"], verdict.report.get("float_weights_mb", 0.0))
        return Candidate(way, file, verdict)

    return make


def _tflite(
    folder: Path, work: Path, make: Callable[[str], Candidate], target: str, quantize: str, check: Any
) -> dict[str, Any]:
    if quantize == "auto":
        ways = tflite.WRITERS_QUANTIZATIONS if isinstance(check, WritingCheck) else tflite.QUANTIZATIONS
        chosen, tried = auto.choose(make, ways, target, check.examples.own_inputs(), check.figures, work)
    else:
        chosen, tried = make(quantize), []
    shutil.copyfile(chosen.model_path, folder / "model.tflite")
    shapes = tflite.signature_shapes(chosen.model_path)
    return {"verdict": chosen.verdict, "quantize": chosen.quantize, "tried": tried, "signatures": shapes}


def _manifest(
    run: Artifact, manifest: Mapping[str, Any], target: str, result: Mapping[str, Any], check: Any
) -> dict[str, Any]:
    verdict: Verdict = result["verdict"]
    kept = {key: value for key, value in manifest.items() if key not in ("format", "files")}
    return {
        **kept,
        "kind": "bundle",
        "target": target,
        "quantize": result["quantize"],
        "signatures": result["signatures"],
        "parent": {"run": run.path.resolve().name, "sha256": run.manifest["files"]["model.keras"]},
        "verification": verdict.report,
        "tried": result["tried"],
        "quality": {name: verdict.report[name] for name in check.quality if name in verdict.report},
    }


def _write_golden(path: Path, golden: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_float32(path: Path) -> Any:
    """Opens model.keras, computing in float32: what mixed precision trained has float32 weights all the same."""
    import keras

    from textapp.objectives.runner import load_model

    model = load_model(path)
    for layer in model._flatten_layers():
        if layer.compute_dtype != "float32":
            layer.dtype_policy = keras.DTypePolicy("float32")
    return model
