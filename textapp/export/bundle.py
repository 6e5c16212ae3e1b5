"""Exports a run as a bundle, which is converted and verified before it replaces an older one."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from textapp.artifact import (
    LITERT_LM_FILE,
    TARGET_TOKENIZER,
    TOKENIZER,
    Artifact,
    check_target,
    replaced_folder,
    write_failure_reason,
    write_manifest,
)
from textapp.errors import ExportError, plural
from textapp.export import auto, litert_lm, tflite
from textapp.export.auto import Candidate
from textapp.export.flatbuffer.loops import check_loops, loop_copies
from textapp.export.flatbuffer.narrow import narrow_kernels
from textapp.export.folding import fold_norms
from textapp.export.options import MAX_DROP, NO_INT4, WEIGHTS_ONLY, ExportOptions, golden_records
from textapp.export.saved_model import write_served
from textapp.export.target import run_in_target
from textapp.export.weights_only import quantize_weights
from textapp.files import resolved
from textapp.folders import WORK, remove_dead, scratch_folder
from textapp.models.int4_kernels import BLOCK
from textapp.models.saving import MODEL, load_float32
from textapp.objectives.checks.check import Check, Verdict, run_all
from textapp.objectives.checks.examples import make_examples, verification_and_calibration
from textapp.objectives.objective import Objective
from textapp.processes import usable_cores
from textapp.runners.inputs import Inputs, save_inputs
from textapp.runners.saved_model import SavedModelRunner
from textapp.tasks.task import Record, Task

_logger = logging.getLogger("textapp")
NUM_GOLDEN = 3
# Weights from which each signature is converted alone. At 21 million and seven signatures this process takes 1.7 GB in
# place of 4.5, which most machines have, but writes the weights once a signature; at 135 million all processes take
# 7.2 GB in place of 17.4.
LARGE = 50_000_000
MIN_WEIGHTS_OF_INT4 = 30_000_000  # from which `auto` tries int4
NOT_INHERITED = ("format", "files", "data_dir")  # a bundle does not tell where it was made
COPIES = (
    "quantize %s: the export is correct but slow, because of KerasHub's own layers: each token copies at least %.3f MB "
    "of keys, values and weights, and %.3f MB that should be int8 stay float; presets like GPT-2 or Llama avoid this"
)


class Made(NamedTuple):
    """The model of a bundle.

    Attributes:
        verdict: of the check.
        quantize: its number format.
        tried: the figures of each number format that was tried.
        signatures: name -> the shapes of its inputs and outputs.
    """

    verdict: Verdict
    quantize: str
    tried: list[dict[str, Any]]
    signatures: dict[str, Any]


def export_run(
    run: Artifact,
    task: Task,
    objective: Objective,
    options: ExportOptions,
    records: Sequence[Record],
    out: str | Path | None = None,
) -> Path:
    """Exports a run's model and verifies it on real examples.

    Args:
        run: an opened run folder.
        task: of the run.
        objective: of its task.
        options: of the export.
        records: labelled examples, preferably 200 or more, for verification and calibration of int8.
        out: the folder; None: `<run>/exports/<target>/`.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: it failed; an older bundle in the folder is unchanged.
        ArtifactError: another process makes the same bundle.
        UsageError: the options do not apply to this run, or the interpreter of the target is not installed.
    """
    options.check(run, objective, records)
    final = bundle_folder(run, options, out)
    for left in resolved(final).parent.glob(f"*{WORK}"):
        remove_dead(left, "export")
    try:
        with replaced_folder(final) as folder, scratch_folder("export") as work:
            _Export(run, task, objective, options, work, folder).write(records)
    except OSError as error:
        raise ExportError(
            f"{final}: could not be written: {write_failure_reason(error)}; an export that existed before is unchanged"
        ) from error
    return final


def bundle_folder(run: Artifact, options: ExportOptions, out: str | Path | None) -> Path:
    """The folder of the bundle, after a check that it can be made there.

    Args:
        run: an opened run folder.
        options: of the export.
        out: the folder; None: `<run>/exports/<target>/`.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
    """
    final = Path(out) if out is not None else run.path / "exports" / options.target
    check_target(final, "bundle", own_place=out is None)
    return final


class _Export:
    """One export, with its folders."""

    def __init__(
        self, run: Artifact, task: Task, objective: Objective, options: ExportOptions, work: Path, folder: Path
    ) -> None:
        self.run, self.task, self.objective, self.options = run, task, objective, options
        self.work, self.folder = work, folder

    def write(self, records: Sequence[Record]) -> None:
        """Writes all files of the bundle, the manifest last."""
        options, run = self.options, self.run
        golden_records(self.task, options.golden or ())  # their faults are told before minutes of work
        if not options.serves and run.manifest["lengths_from"] == "data":
            self.task = self.objective.export_task(self.task, records)
        verified, calibrated = verification_and_calibration(records)
        model = load_float32(run.path / MODEL)
        if options.for_litert_lm:
            self.objective.check_litert_lm(model, self.task)
            litert_lm.check_golden(self.task, options.golden or ())
        max_drop = options.max_drop
        if max_drop is None:
            max_drop = self.objective.max_drops.get(options.quantize, MAX_DROP)
        check = self.objective.check(model, self.task, verified, max_drop, options.batch_size)
        if options.for_litert_lm:
            litert_lm.check_prompts(self.task, check.examples.records)
        made = self._served(model, check) if options.serves else self._tflite(model, check, calibrated)
        for name in (TOKENIZER, TARGET_TOKENIZER):
            if (run.path / name).is_dir():
                shutil.copytree(run.path / name, self.folder / name)
        golden = self._golden(made.verdict, check)
        if golden:
            text = json.dumps(golden, ensure_ascii=False, indent=1)
            (self.folder / "golden.json").write_text(text + "\n", encoding="utf-8")
        write_manifest(self.folder, self._manifest(made, check))

    def _golden(self, verdict: Verdict, check: Check) -> list[dict[str, Any]]:
        """The test cases for ports: three of the verified examples, or the answers to texts that the user chose."""
        texts = self.options.golden
        if self.options.for_litert_lm:
            records = check.examples.records if texts is None else [self.task.record(text) for text in texts]
            count = NUM_GOLDEN if texts is None else len(records)
            return litert_lm.golden(self.folder / LITERT_LM_FILE, self.task, records, count, self.work)
        if texts is None:
            return check.golden(check.examples, verdict.outputs, NUM_GOLDEN)
        if not texts:
            return []
        records = golden_records(self.task, texts)
        examples = make_examples(self.task, records, min_rows=1)
        return check.golden(examples, self._outputs(examples.inputs), len(records))

    def _outputs(self, inputs: Inputs) -> dict[str, dict[str, np.ndarray]]:
        """The outputs of the file in the bundle."""
        if self.options.serves:
            runner = SavedModelRunner(self.folder)
            return {name: run_all(runner, name, named) for name, named in inputs.items()}
        file = self.work / "golden.tflite"  # a copy, because other files are written beside it
        shutil.copyfile(self.folder / "model.tflite", file)
        _, arrays = run_in_target(file, self.options.target, self.options.quantize, inputs)
        outputs: dict[str, dict[str, np.ndarray]] = {}
        for key, values in arrays.items():
            name, output = key.split("/", 1)
            outputs.setdefault(name, {})[output] = values
        return outputs

    def _served(self, model: keras.Model, check: Check) -> Made:
        # Before the signatures are traced, and after the check has the answers of the float model.
        quantize = self.options.quantize if self.options.quantize in WEIGHTS_ONLY else "none"
        done = quantize_weights(model, quantize)
        _logger.info(
            "%s: converting and verifying on %s", self.options.target, plural(len(check.examples.records), "example")
        )
        signatures = self.objective.served_signatures(model, self.task)
        text = None
        if self.options.text_signature:
            text = self.objective.text_signature(self.task, signatures, self.run.path)
        verdict, shapes = write_served(self.folder, self.work, model, signatures, text, check, quantize)
        verdict.report.update(done)
        return Made(verdict, quantize, [], shapes)

    def _tflite(self, model: keras.Model, check: Check, calibrated: Sequence[Record]) -> Made:
        fold_norms(model)
        calibration: Mapping[str, Any] = {}
        if "int8" in self.objective.quantizations:
            calibration = make_examples(self.task, calibrated).inputs
        save_inputs(self.work / "calibration.npz", calibration)
        make, quantize = self._maker(model, check, calibrated), self.options.quantize
        formats = tuple(each for each in self.objective.quantizations if each != "int4" or self._tries_int4(model))
        if quantize == "auto" and self.options.for_litert_lm:
            chosen, tried = auto.smallest(make, formats, check.figures)
        elif quantize == "auto":
            inputs = check.examples.own_inputs()
            chosen, tried = auto.choose(make, formats, self.options.target, inputs, check.figures, self.work)
        else:
            chosen, tried = make(quantize), []
        if self.options.for_litert_lm:
            shutil.copyfile(_packed(chosen.model_path), self.folder / LITERT_LM_FILE)
        else:
            shutil.copyfile(chosen.model_path, self.folder / "model.tflite")
        return Made(chosen.verdict, chosen.quantize, tried, tflite.signature_shapes(chosen.model_path))

    def _tries_int4(self, model: keras.Model) -> bool:
        """Whether `auto` tries int4: a small model computes for longer than it reads weights, and loses more."""
        return self.options.target not in NO_INT4 and model.count_params() >= MIN_WEIGHTS_OF_INT4

    def _maker(self, model: keras.Model, check: Check, calibrated: Sequence[Record]) -> Callable[[str], Candidate]:
        """A function from a number format to a verified file. Formats that change the model have to come last."""
        target, copies, work = self.options.target, getattr(model, "loops_copy", False), self.work

        def make(quantize: str) -> Candidate:
            done = self.objective.quantize_model(model, quantize, self.task, calibrated)
            if self.options.for_litert_lm:
                signatures = self.objective.litert_lm_signatures(model, self.task)
            else:
                signatures = self.objective.signatures(model, self.task, self.options.batch_size)
            file, calibration = work / f"{quantize}.tflite", work / "calibration.npz"
            _logger.info("%s, quantize %s: converting", target, quantize)
            large, converted = model.count_params() >= LARGE, "dynamic" if quantize == "int4" else quantize
            if large:
                tflite.convert_apart(model, signatures, file, target, converted, calibration)
            else:
                source = work / ("saved_model" if done is None else f"{quantize}_model")
                if not source.exists():
                    tflite.write_saved_model(model, signatures, source)
                names = [signature.name for signature in signatures]
                tflite.convert(source, file, names, target, converted, calibration)
            if quantize == "int4":
                done = {**(done or {}), "int4_kernels": _narrowed(file, model)}
            tflite.check_builtins(file)
            if self.objective.decodes and not copies:
                check_loops(file, quantize)
            _logger.info(
                "%s, quantize %s: verifying on %s", target, quantize, plural(len(check.examples.records), "example")
            )
            verdict = self._verdict(file, check, quantize, threads=usable_cores() if large else 1)
            verdict.report.update(done or {})
            if copies:
                verdict.report.update(loop_copies(file, quantize))
                _logger.warning(
                    COPIES, quantize, verdict.report["copied_mb"], verdict.report.get("float_weights_mb", 0.0)
                )
            return Candidate(quantize, file, verdict)

        return make

    def _verdict(self, file: Path, check: Check, quantize: str, threads: int) -> Verdict:
        """Runs a file in its target, and judges its outputs."""
        if self.options.for_litert_lm:
            packed = _packed(file)
            litert_lm.pack(file, self.run.path / TOKENIZER, self.task, packed)
            return litert_lm.verify(packed, file, self.task, check, quantize, threads)
        runtime, arrays = run_in_target(
            file, self.options.target, quantize, check.inputs, check.forced, threads=threads
        )
        return check.judge(arrays, runtime, quantize)

    def _manifest(self, made: Made, check: Check) -> dict[str, Any]:
        inherited = {key: value for key, value in self.run.manifest.items() if key not in NOT_INHERITED}
        if self.options.batch_size > 1:
            inherited["batch_size"] = self.options.batch_size
        report = made.verdict.report
        return {
            **inherited,
            "lengths": self.task.lengths,
            "kind": "bundle",
            "target": self.options.target,
            "quantize": made.quantize,
            "signatures": made.signatures,
            "parent": {"run": self.run.path.resolve().name, "sha256": self.run.manifest["files"][MODEL]},
            "verification": report,
            "tried": made.tried,
            "quality": {name: report[name] for name in check.quality if name in report},
        }


def _narrowed(model_path: Path, model: keras.Model) -> int:
    """Makes the kernels of a file int4 that its model has on the grid of int4; returns their number.

    Raises:
        ExportError: there are none.
    """
    kernels = (np.asarray(weight) for weight in model.weights if len(weight.shape) == 2)
    content, count = narrow_kernels(model_path.read_bytes(), kernels)
    if not count:
        raise ExportError(
            f"quantize int4: found no matrix of a Dense layer with a multiple of {BLOCK} inputs, expected some, as a "
            "Transformer has: take dynamic"
        )
    model_path.write_bytes(content)
    return count


def _packed(model_path: Path) -> Path:
    """Where the .litertlm file of a .tflite file is."""
    return model_path.with_suffix(".litertlm")
