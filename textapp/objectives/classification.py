"""The objective of classification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from textapp.artifact import SENTENCEPIECE_FILE, TOKENIZER
from textapp.batches.pipeline import Batch, BucketBatches, Examples
from textapp.layers import NgramEmbedding
from textapp.objectives.checks.classification import ClassificationCheck
from textapp.objectives.classifier import build_model, label_weights, make_loss, probabilities
from textapp.objectives.label_validation import LabelValidation
from textapp.objectives.lengths import finer_lengths
from textapp.objectives.lessons import LabelLesson
from textapp.objectives.naive_bayes import begin_as_naive_bayes
from textapp.objectives.objective import Loss, Objective, bucket_batches
from textapp.objectives.signature import Signature, Tensors, TextSignature
from textapp.objectives.text_in_graph import check_text_signature, tokenize_in_graph
from textapp.predictors.predictor import Predictor
from textapp.prepared import Prepared
from textapp.records.shards import truncated
from textapp.runners.keras import KerasRunner
from textapp.runners.saved_model import TOKENS_SIGNATURE
from textapp.tasks.classification import ClassificationTask
from textapp.tasks.task import Record
from textapp.text.vectors import load_vectors


class ClassificationObjective(Objective):
    """See `Objective`; `Prepared.data` has `textapp.records.token_ids.Labelled` for each split."""

    quantizations = ("none", "float16", "dynamic", "int8")
    refusals: Mapping[str, str] = {}
    decodes = False

    def build(self, prepared: Prepared) -> keras.Model:
        """The training form; chooses n-grams from the training texts, and initialises by naive Bayes if configured."""
        model = self._build(prepared, prepared.task.tokenizer.pieces())
        tables = [layer for layer in model._flatten_layers() if isinstance(layer, NgramEmbedding)]
        naive_bayes = getattr(prepared.config.model, "naive_bayes", False)
        if tables or naive_bayes:
            train, longest = prepared.data["train"], prepared.config.lengths[-1]
            token_ids = truncated(train.features["token_ids"], longest)
            for layer in tables:
                layer.choose_owners(token_ids)
            if naive_bayes:
                targets = train.targets if isinstance(train.targets, np.ndarray) else np.stack(list(train.targets))
                begin_as_naive_bayes(model, token_ids, targets, prepared.task.tokenizer.pad_id)
        return model

    def build_inference(self, prepared: Prepared) -> keras.Model:
        """See `Objective`."""
        return self._build(prepared, None)

    def _build(self, prepared: Prepared, pieces: Sequence[str] | None) -> keras.Model:
        config, task, tokenizer = prepared.config, prepared.task, prepared.task.tokenizer
        path, vectors = getattr(config.model, "vectors", None), None
        if path:
            vectors = load_vectors(path, tokenizer.pieces(), config.model.embedding_dim)
        sizes = (tokenizer.vocabulary_size, tokenizer.pad_id, len(task.labels), task.segments)
        return build_model(config, *sizes, vectors, pieces)

    def batches(self, prepared: Prepared) -> BucketBatches:
        """See `Objective`."""
        train = prepared.data["train"]
        batches = bucket_batches(prepared, Examples(train.features, train.targets))
        batches.log_shapes()
        return batches

    def loss(self, prepared: Prepared) -> Loss:
        """See `Objective`."""
        training, task = prepared.config.training, prepared.task
        counts = prepared.data["train"].label_counts(len(task.labels))
        weights = label_weights(training.class_weights, task.labels, counts)
        loss = make_loss(task.multiple, training.label_smoothing, weights)

        def of_batch(batch: Batch, logits: Any) -> Any:
            return loss(batch["targets"], logits)

        return of_batch

    def lesson(self, prepared: Prepared, unlabelled: Sequence[Record] = ()) -> LabelLesson:
        """See `Objective`; unlabelled texts have the targets 0, which the loss does not count."""
        config, task, train = prepared.config, prepared.task, prepared.data["train"]
        more = [task.features(record) for record in unlabelled]
        features = {
            name: [*rows, *(np.asarray(each[name], np.int32) for each in more)] for name, rows in train.features.items()
        }
        none = np.zeros((len(more), *train.targets.shape[1:]), train.targets.dtype)
        source = bucket_batches(prepared, Examples(features, np.concatenate([train.targets, none])))
        return LabelLesson(
            source, self.loss(prepared), features, config.lengths, task.tokenizer.pad_id, len(task.labels),
            task.multiple, len(train.targets),
        )  # fmt: skip

    def validation(self, prepared: Prepared, model: keras.Model) -> Callable[[], dict[str, float]]:
        """See `Objective`."""
        held_out = prepared.data["validation"]
        runner = self.runner(model, prepared.task)
        return LabelValidation(runner, prepared.task, held_out.features, held_out.targets)

    def figures(self, prepared: Prepared, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        """See `Objective`."""
        predictor = Predictor(prepared.task, self.runner(model, prepared.task), {}, Path())
        return prepared.task.score(records, predictor.batch(records))

    def manifest(self, prepared: Prepared) -> dict[str, Any]:
        """See `Objective`."""
        task = prepared.task
        return {"labels": task.labels, "inputs": list(task.fields), "features": task.feature_names}

    def runner(self, model: keras.Model, task: ClassificationTask) -> KerasRunner:
        """See `Objective`."""
        return KerasRunner(dict.fromkeys((name for name, _ in task.signatures), self._classify(model, task)))

    def export_task(self, task: ClassificationTask, records: Sequence[Record]) -> ClassificationTask:
        """See `Objective`."""
        counts = [len(task.features(record)["token_ids"]) for record in records]
        return task.with_lengths(finer_lengths(task.lengths, counts))

    def signatures(self, model: keras.Model, task: ClassificationTask, batch_size: int = 1) -> list[Signature]:
        """`classify_<L>` for each bucket: features `[1, L]` to `probabilities` `[1, classes]`."""
        call = self._classify(model, task)
        return [
            Signature(name, {feature: (1, length) for feature in task.feature_names}, call)
            for name, length in task.signatures
        ]

    def served_signatures(self, model: keras.Model, task: ClassificationTask) -> list[Signature]:
        """`tokens`: ids `[batch, length]`, both open, truncated to the longest bucket, to `probabilities`."""
        call, longest = self._classify(model, task), task.lengths[-1]

        def tokens(features: Tensors) -> dict[str, Any]:
            return call({name: ids[:, :longest] for name, ids in features.items()})

        return [Signature(TOKENS_SIGNATURE, dict.fromkeys(task.feature_names, (None, None)), tokens)]

    def text_signature(self, task: ClassificationTask, served: Sequence[Signature], run_folder: Path) -> TextSignature:
        """`text`: strings `[batch]` to `probabilities` `[batch, classes]`."""
        tokenizer = task.tokenizer
        check_text_signature([tokenizer], pairs=task.pair)
        path = run_folder / TOKENIZER / SENTENCEPIECE_FILE
        ids_of, resource = tokenize_in_graph(path, tokenizer.pad_id, tokenizer.unknown_id)
        return TextSignature(lambda text: served[-1].call({"token_ids": ids_of(text)}), [resource])

    def quantize_model(
        self, model: keras.Model, quantize: str, task: Any, records: Sequence[Record]
    ) -> dict[str, Any] | None:
        """Nothing depends on the number format."""
        return None

    def check(
        self, model: keras.Model, task: ClassificationTask, records: Sequence[Record], max_drop: float,
        batch_size: int = 1,
    ) -> ClassificationCheck:  # fmt: skip
        """See `Objective`."""
        return ClassificationCheck(self.runner(model, task), task, records, max_drop)

    def _classify(self, model: keras.Model, task: ClassificationTask) -> Callable[[Tensors], dict[str, Any]]:
        def classify(features: Tensors) -> dict[str, Any]:
            return {"probabilities": probabilities(model(dict(features), training=False), task.multiple)}

        return classify
