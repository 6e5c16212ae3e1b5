"""The options of an export, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.artifact import Artifact
from textapp.errors import DataError, ExportError, UsageError
from textapp.runners.interpreter import PACKAGES, available
from textapp.untrusted import shown

if TYPE_CHECKING:
    from textapp.objectives.objective import Objective
    from textapp.tasks.task import Record, Task

EDGE_TARGETS = tuple(PACKAGES)
SAVED_MODEL, LITERT_LM = "saved_model", "litert-lm"
TARGETS = (*EDGE_TARGETS, SAVED_MODEL, LITERT_LM)
LITERT_LM_PACKAGES = ("litert_lm", "litert_lm_builder", "ai_edge_litert")  # run, write, and check the graphs in it
QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "int4")
NO_INT4 = ("tflite-runtime",)  # targets whose kernels multiply with int8 at least
WEIGHTS_ONLY = ("int8-weights", "int4-weights")  # of a SavedModel, which has no other number formats
MAX_DROP = 0.5  # points of accuracy or of BLEU, percent of perplexity
MAX_ROWS = 64  # of a batch: more rows take memory without gain, for a language model already from 5 rows on


@dataclass(frozen=True)
class ExportOptions:
    """How a run is exported.

    Attributes:
        target: `litert`, `tflite-runtime`, `saved_model`, or `litert-lm` for a language model.
        quantize: `none`, `float16`, `dynamic`, `int8`, `int4` or `auto`; for a SavedModel `none` or `auto`, which are
            the same, `int8-weights` or `int4-weights`.
        max_drop: maximum loss against the run: points of accuracy or of BLEU, percent of perplexity; None: `MAX_DROP`,
            or what the objective names for the number format.
        text_signature: whether a SavedModel also has a signature that takes strings.
        batch_size: rows of batch signatures, which a generative .tflite file has besides those for one text.
        golden: texts for golden.json; None: three of the examples that the export is verified on; empty: no such file.

    Raises:
        UsageError: a value is unknown, or not available for the target.
    """

    target: str = "litert"
    quantize: str = "none"
    max_drop: float | None = None
    text_signature: bool = False
    batch_size: int = 1
    golden: Sequence[str] | None = None

    def __post_init__(self) -> None:
        target, quantize = self.target, self.quantize
        if target not in TARGETS:
            raise UsageError(f"target: found '{target}', expected one of {', '.join(TARGETS)}")
        known = (*QUANTIZATIONS, *WEIGHTS_ONLY, "auto")
        if quantize not in known:
            raise UsageError(f"quantize: found '{quantize}', expected one of {', '.join(known)}")
        if not 1 <= self.batch_size <= MAX_ROWS:
            raise UsageError(f"batch size: found {self.batch_size}, expected 1 to {MAX_ROWS}")
        if self.serves and quantize not in ("none", *WEIGHTS_ONLY, "auto"):
            raise UsageError(
                f"quantize: found '{quantize}', expected none, {' or '.join(WEIGHTS_ONLY)} for target saved_model: the "
                "others are for .tflite files"
            )
        if quantize in WEIGHTS_ONLY and not self.serves:
            raise UsageError(
                f"quantize: found '{quantize}', expected one of {', '.join(QUANTIZATIONS)}, auto for target {target}: "
                "it is for target saved_model; int8 weights of a .tflite file are dynamic"
            )
        if quantize == "int4" and target in NO_INT4:
            raise UsageError(
                f"quantize int4: {target} 2.14 has no matrix product with int4 weights in blocks: take target litert, "
                "or quantize dynamic"
            )
        if self.serves and self.batch_size > 1:
            raise UsageError(f"batch size {self.batch_size}: a SavedModel takes batches of any size: leave it out")
        if self.for_litert_lm and self.batch_size > 1:
            raise UsageError(f"batch size {self.batch_size}: LiteRT-LM reads one text at a time: leave it out")
        if not self.serves and self.text_signature:
            raise UsageError(
                "the text signature needs target saved_model, as a .tflite file takes token ids: leave it out"
            )

    @property
    def serves(self) -> bool:
        """Whether the target is a SavedModel, for servers."""
        return self.target == SAVED_MODEL

    @property
    def for_litert_lm(self) -> bool:
        """Whether the target is a .litertlm file, for LiteRT-LM's apps and packages."""
        return self.target == LITERT_LM

    def check(self, run: Artifact, objective: Objective, records: Sequence[Any]) -> None:
        """Checks the options against a run.

        Args:
            run: an opened folder.
            objective: of its task.
            records: examples to verify with.

        Raises:
            UsageError: this is no run, an option is not for its task, or the interpreter of the target is missing.
            ExportError: there are no examples.
        """
        if run.kind != "run":
            raise UsageError(f"{run.path}: is a {run.kind}, expected a run folder: export the run that it came from")
        if self.quantize in objective.refusals:
            raise UsageError(objective.refusals[self.quantize])
        if self.quantize == "int4" and "int4" not in objective.quantizations:
            raise UsageError("quantize int4: is for models that write, whose steps read all weights: take dynamic")
        if self.batch_size > 1 and not objective.decodes:
            raise UsageError(f"batch size {self.batch_size}: is for models that generate text: leave it out")
        if self.for_litert_lm and not all(map(util.find_spec, LITERT_LM_PACKAGES)):
            raise UsageError(
                "target litert-lm: LiteRT-LM, which packs and verifies the export, is not installed: "
                "pip install 'textapp[litert-lm]'"
            )
        if self.target in EDGE_TARGETS and self.target not in available():
            raise UsageError(
                f"target {self.target}: its interpreter, which verifies the export, is not installed: "
                f"pip install 'textapp[{self.target}]'"
            )
        if not records:
            raise ExportError(
                f"{run.path}: found no examples, expected some to verify the export on: give the run a validation split"
            )


def golden_texts(option: str | None) -> tuple[str, ...] | None:
    """The texts that `--golden` names: `none`, or a file with a text per line; None if it was not given.

    Raises:
        UsageError: the file is missing, is not UTF-8, or holds no text.
    """
    if option is None or option == "none":
        return None if option is None else ()
    try:
        lines = Path(option).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not UTF-8 ({error})"
        raise UsageError(f"--golden {option}: found no readable file ({reason}), expected none or a file") from error
    texts = tuple(line.rstrip("\r") for line in lines if line.strip())
    if not texts:
        raise UsageError(f"--golden {option}: found no text, expected a text per line; without texts: --golden none")
    return texts


def golden_records(task: Task, texts: Sequence[str]) -> list[Record]:
    """The records of the texts of `--golden`; those of a task with several fields have tabs between them.

    Args:
        task: of the run.
        texts: the lines.

    Raises:
        UsageError: a text has not the fields of the task, or cannot be answered.
    """
    names, records = task.fields, []
    for number, text in enumerate(texts, start=1):
        values = text.split("\t") if len(names) > 1 else [text]
        where = f"--golden: found text {number}, {shown(text)}"
        if not len(names) - len(task.optional) <= len(values) <= len(names):
            raise UsageError(f"{where}, expected {' and '.join(names)} with a tab between them")
        records.append(task.record(*values))
        try:
            task.check(records[-1])
        except DataError as error:
            raise UsageError(f"{where}, which has no answer: {error}") from error
    return records
