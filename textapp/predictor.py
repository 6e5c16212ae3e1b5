"""Text in, answers out, over anything that has `run(signature, features) -> outputs`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from textapp.artifact import Artifact, open_artifact
from textapp.noise import import_tensorflow
from textapp.tasks import task_from_manifest
from textapp.tasks.classification import ClassificationAnswer, ClassificationTask
from textapp.text.tokenizer import load_tokenizer


class Runner(Protocol):
    """A model in memory.

    Attributes:
        max_batch: rows that one call may have; 1 where the shapes are fixed.
    """

    max_batch: int

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Features `[batch, length]` int32 to outputs `[batch, ...]`."""
        ...

    def clone(self) -> Runner:
        """A runner of the same model that another thread may use at the same time."""
        ...


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
        self._runners = [runner]

    @property
    def tokenizer(self) -> Any:
        return self.task.tokenizer

    def __call__(self, text: str, text_pair: str | None = None) -> ClassificationAnswer:
        """Answers one text, or one pair."""
        record = {"text": text, "text_pair": text_pair}
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
        # The longest first, and each taken by the worker that is free: so all of them end together.
        jobs = reversed(self._jobs(features))
        answers: list[ClassificationAnswer | None] = [None] * len(records)

        def work(worker: int) -> None:
            for signature, length, indices in jobs:
                outputs = self._runners[worker].run(signature, self._padded([features[i] for i in indices], length))
                for row, index in enumerate(indices):
                    row_outputs = {name: values[row] for name, values in outputs.items()}
                    answers[index] = self.task.answer(records[index], row_outputs)

        while len(self._runners) < workers:
            self._runners.append(self.runner.clone())
        if workers == 1:
            work(0)
        else:
            from concurrent.futures import ThreadPoolExecutor  # slow to import, and a single text needs none

            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(work, range(workers)))
        return answers  # type: ignore[return-value]  # every index stands in one job

    def _jobs(self, features: Sequence[Mapping[str, list[int]]]) -> list[tuple[str, int, list[int]]]:
        """Groups `(signature, length, indices)` of at most `max_batch` rows that share a signature."""
        by_signature: dict[tuple[str, int], list[int]] = {}
        for index, feature in enumerate(features):
            by_signature.setdefault(self.task.signature(len(feature["token_ids"])), []).append(index)
        most = self.runner.max_batch
        return [
            (*signature, indices[start : start + most])
            for signature, indices in sorted(by_signature.items(), key=lambda item: item[0][1])
            for start in range(0, len(indices), most)
        ]

    def _padded(self, features: Sequence[Mapping[str, list[int]]], length: int) -> dict[str, np.ndarray]:
        """Rows of ids as arrays `[rows, length]`, filled up with the padding id (segments with 0)."""
        arrays = {}
        for name in features[0]:
            fill = [self.task.tokenizer.pad_id if name == "token_ids" else 0]
            # One conversion of whole lists takes half the time of filling an array row by row.
            rows = [feature[name] + fill * (length - len(feature[name])) for feature in features]
            arrays[name] = np.array(rows, np.int32)
        return arrays


def _record(text: str | Sequence[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(text, str):
        return {"text": text}
    if isinstance(text, Mapping):
        return text
    first, second = text
    return {"text": first, "text_pair": second}


def load(path: str | Path, threads: int = 1, threshold: float | None = None, runtime: str = "auto") -> Predictor:
    """Opens a run folder or a bundle.

    Args:
        path: the folder.
        threads: threads inside one answer; small models are often fastest with one.
        threshold: answer `unknown` below this probability, 0 to 1.
        runtime: for a .tflite file `litert` or `tflite-runtime`; `auto` takes the one that the bundle was verified in
            where it is installed, else the other.

    Raises:
        ArtifactError: the folder is missing, cut off or changed.
        UsageError: a package that it needs is not installed.
    """
    artifact = open_artifact(path)
    tokenizer = load_tokenizer(artifact.path / "tokenizer")
    task = task_from_manifest(artifact.manifest, tokenizer, threshold=threshold)
    return Predictor(task, _runner(artifact, threads, runtime), artifact.manifest, artifact.path)


def _runner(artifact: Artifact, threads: int, runtime: str) -> Runner:
    model = artifact.path / "model.tflite"
    if model.is_file():
        from textapp.edge.interpreter import usable
        from textapp.edge.runner import EdgeRunner

        target = artifact.manifest["target"]
        return EdgeRunner(model, threads, target if runtime == "auto" and usable(target) else runtime)
    # The one way up from here: what needs TensorFlow is imported by name, only where such a folder is opened.
    import_tensorflow()
    if artifact.kind == "run":
        return importlib.import_module("textapp.objectives.runner").KerasRunner(artifact.path)
    return importlib.import_module("textapp.export.saved_model").SavedModelRunner(artifact.path)
