"""Text in, labels out, over anything that has `run(signature, features) -> outputs`; and what opens a folder."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.arrays import padded
from textapp.artifact import Artifact, open_artifact
from textapp.errors import UsageError
from textapp.noise import import_tensorflow
from textapp.runners import Runner, Runners, groups
from textapp.tasks import task_from_manifest
from textapp.tasks.classification import ClassificationAnswer, ClassificationTask
from textapp.text.tokenizer import load_tokenizers

if TYPE_CHECKING:
    from textapp.generative import GenerativePredictor


class Predictor:
    """Answers texts.

    Example:
        predictor = textapp.load("saved_models/reviews/exports/litert")
        predictor("a gem of a film").label            # 'positive'
        [answer.label for answer in predictor.batch(["good", "bad"])]
    """

    def __init__(self, task: ClassificationTask, runner: Runner, manifest: Mapping[str, Any], path: Path) -> None:
        self.task = task
        self.runner = runner
        self.manifest = manifest
        self.path = path
        self._runners = Runners(runner)

    @property
    def tokenizer(self) -> Any:
        return self.task.tokenizer

    def __call__(self, text: str, text_pair: str | None = None) -> ClassificationAnswer:
        """Answers one text, or one pair."""
        record = {"text_pair": text_pair, **_record(text)}
        features = self.task.features(record)
        signature, length = self.task.signature(len(features["token_ids"]))
        outputs = self.runner.run(signature, self._padded([features], length))
        return self.task.answer(record, {name: values[0] for name, values in outputs.items()})

    def batch(
        self, texts: Iterable[str | Sequence[str] | Mapping[str, Any]], workers: int = 1
    ) -> list[ClassificationAnswer]:
        """Answers many texts in their order; sorted by length inside, so that short ones are not padded to long ones.

        Args:
            texts: texts, pairs `(text, text_pair)`, or records with these keys.
            workers: runners that work at the same time, each with a copy of the model's state.
        """
        records = [_record(text) for text in texts]
        features = [self.task.features(record) for record in records]
        answers: list[ClassificationAnswer | None] = [None] * len(records)

        def work(runner: Runner, job: tuple[str, int, list[int]]) -> None:
            signature, length, indices = job
            outputs = runner.run(signature, self._padded([features[i] for i in indices], length))
            for row, index in enumerate(indices):
                row_outputs = {name: values[row] for name, values in outputs.items()}
                answers[index] = self.task.answer(records[index], row_outputs)

        signatures = [self.task.signature(len(feature["token_ids"])) for feature in features]
        self._runners.share_out(groups(signatures, self.runner.max_batch), work, workers)
        return answers  # type: ignore[return-value]  # every index stands in one job

    def _padded(self, features: Sequence[Mapping[str, list[int]]], length: int) -> dict[str, np.ndarray]:
        """Rows of ids as arrays `[rows, length]`, filled up with the padding id (segments with 0)."""
        pad_id = self.task.tokenizer.pad_id
        return {
            name: padded([feature[name] for feature in features], length, pad_id if name == "token_ids" else 0)
            for name in features[0]
        }


def _record(text: str | Sequence[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(text, str):
        return {"text": text}
    if isinstance(text, Mapping) and isinstance(text.get("text"), str):
        return text
    if isinstance(text, (list, tuple)) and len(text) == 2 and all(isinstance(each, str) for each in text):
        return {"text": text[0], "text_pair": text[1]}
    raise UsageError(f"found {text!r:.80}, expected a text, a pair of texts, or a record such as {{'text': 'a text'}}")


def load(
    path: str | Path,
    threads: int = 1,
    threshold: float | None = None,
    runtime: str = "auto",
    overflow: str | None = None,
) -> Predictor | GenerativePredictor:
    """Opens a run folder or a bundle.

    Args:
        path: the folder.
        threads: threads inside one answer; small models are often fastest with one.
        threshold: of a classifier: answer `unknown` below this probability, 0 to 1.
        runtime: for a .tflite file `litert` or `tflite-runtime`; `auto` takes the one that the bundle was verified in
            where it is installed, else the other.
        overflow: of a translator or a language model: `truncate` a text that is too long (default) or raise an `error`.

    Raises:
        ArtifactError: the folder is missing, cut off or changed.
        UsageError: a package that it needs is not installed, or an option is not for this task.
    """
    if threads < 1:
        raise UsageError(f"threads: found {threads}, expected a whole number from 1")
    artifact = open_artifact(path)
    tokenizers = load_tokenizers(artifact.path)
    task = task_from_manifest(artifact.manifest, tokenizers, threshold=threshold, overflow=overflow)
    runner = _runner(artifact, threads, runtime)
    if isinstance(task, ClassificationTask):
        return Predictor(task, runner, artifact.manifest, artifact.path)
    from textapp.generative import GenerativePredictor  # a classifier starts sooner without it

    return GenerativePredictor(task, runner, artifact.manifest, artifact.path)


def _runner(artifact: Artifact, threads: int, runtime: str) -> Runner:
    model = artifact.path / "model.tflite"
    if model.is_file():
        from textapp.edge.interpreter import usable
        from textapp.edge.runner import EdgeRunner

        target = artifact.manifest.get("target", runtime)
        return EdgeRunner(model, threads, target if runtime == "auto" and usable(target) else runtime)
    # The one way up from here: what needs TensorFlow is imported by name, only where such a folder is opened.
    import_tensorflow()
    if artifact.kind == "run":
        return importlib.import_module("textapp.objectives.runner").open_runner(artifact.path)
    return importlib.import_module("textapp.export.saved_model").SavedModelRunner(artifact.path)
