"""Classification: texts and labels become features and targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.artifact import TOKENIZER
from textapp.commands.prepare.common import IdsOnDisk, Prepared, Record, log, log_sizes, named_splits
from textapp.commands.prepare.tokenizers import kept_or_made
from textapp.config import Config
from textapp.defaults import MOST_IN_BUCKET, resolve
from textapp.records.loading import Splits, label_names
from textapp.tasks.classification import ClassificationTask
from textapp.text.language import guess_language
from textapp.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import keras

    from textapp.batches.pipeline import BucketBatches
    from textapp.models.preset import Facts

Features = dict[str, list[np.ndarray]]
MOST_TOKENS = 4096  # of one text, before the buckets are known


@dataclass(frozen=True)
class PreparedClassification(Prepared):
    """Adds each split's `features` and `targets`, unpadded."""

    features: dict[str, Features]
    targets: dict[str, np.ndarray]

    def build(self) -> keras.Model:
        model = self._build(self.task.tokenizer.pieces())
        if self.config.model.architecture == "mlp":
            self._begin(model)
        return model

    def _begin(self, model: keras.Model) -> None:
        """What an mlp knows of the training texts before it is trained."""
        from textapp.layers import NgramEmbedding
        from textapp.objectives.naive_bayes import begin_as_naive_bayes

        read = [ids[: self.config.lengths[-1]] for ids in self.features["train"]["token_ids"]]
        for layer in model.get_layer("encoder").layers:
            if isinstance(layer, NgramEmbedding):
                layer.know(read)
        if self.config.model.naive_bayes:
            begin_as_naive_bayes(model, read, self.targets["train"], self.task.tokenizer.pad_id)

    def build_plain(self) -> keras.Model:
        return self._build(None)

    def _build(self, pieces: Sequence[str] | None) -> keras.Model:
        from textapp.objectives.classification import build_model

        config, tokenizer, vectors = self.config, self.task.tokenizer, None
        if getattr(config.model, "vectors", None):
            from textapp.text.vectors import load_vectors

            vectors = load_vectors(config.model.vectors, tokenizer.pieces(), config.model.embedding_dim)
        return build_model(
            config,
            tokenizer.vocabulary_size,
            tokenizer.pad_id,
            len(self.task.labels),
            self.task.segments,
            vectors,
            pieces,
        )

    def batches(self) -> BucketBatches:
        from textapp.batches.pipeline import BucketBatches, Examples

        config = self.config
        examples = Examples(self.features["train"], self.targets["train"])
        pad_id = self.task.tokenizer.pad_id
        return BucketBatches(examples, config.lengths, pad_id, config.training.batch_size, config.seed)

    def loss(self) -> Callable[[dict[str, Any], Any], Any]:
        from textapp.objectives.classification import label_weights, make_loss

        training, task = self.config.training, self.task
        weights = label_weights(training.class_weights, task.labels, self.targets["train"])
        loss = make_loss(task.multiple, training.label_smoothing, weights)
        return lambda batch, logits: loss(batch["targets"], logits)

    def validation(self, model: keras.Model) -> Callable[[], dict[str, float]]:
        from textapp.objectives.validation import Validation

        return Validation(model, self.task, self.features["validation"], self.targets["validation"])

    def figures(self, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        from textapp.objectives.runner import KerasRunner
        from textapp.predictor import Predictor

        predictor = Predictor(self.task, KerasRunner.from_model(model, self.task.multiple), {}, Path())
        return self.task.score(records, predictor.batch(records))

    def manifest(self) -> dict[str, Any]:
        task = self.task
        return {
            "labels": task.labels,
            "inputs": ["text", "text_pair"] if task.pair else ["text"],
            "features": ["token_ids", "segment_ids"] if task.segments else ["token_ids"],
        }


def prepare_classification(config: Config, splits: Splits, folder: Path) -> PreparedClassification:
    """See `prepare`."""
    lengths_given = config.lengths is not None
    language = config.data.language or guess_language([record["text"] for record in splits.train])
    config = resolve(config, len(splits.train), language=language)
    log_sizes(splits, [language])
    tokenizer, _ = kept_or_made(config, splits, [language], folder)
    labels = label_names(splits.train)
    task = _task(config, labels, tokenizer, [MOST_TOKENS])
    ids = IdsOnDisk(folder, tokenizer, folder / TOKENIZER)
    features = {name: _features(task, records, ids) for name, records in named_splits(splits).items()}
    counts = [len(ids) for ids in features["train"]["token_ids"]]
    most = _preset(config).max_length if config.model.architecture == "preset" else None
    config = resolve(config, len(splits.train), counts, language, most or MOST_IN_BUCKET)
    log.info("buckets: %s tokens; vocabulary: %s", config.lengths, tokenizer.vocabulary_size)
    task = _task(config, labels, tokenizer, config.lengths)
    targets = {name: _targets(task, records) for name, records in named_splits(splits).items()}
    return PreparedClassification(config, splits, task, [language], lengths_given, features, targets)


def _task(config: Config, labels: Sequence[str], tokenizer: Tokenizer, lengths: Sequence[int]) -> ClassificationTask:
    pair = config.data.columns.text_pair is not None
    segments = pair and config.model.architecture == "preset" and _preset(config).segments
    return ClassificationTask(tokenizer, labels, lengths, config.data.labels == "multiple", pair, segments)


def _preset(config: Config) -> Facts:
    from textapp.models.preset import facts  # brings TensorFlow: only where there is a preset

    return facts(config.model.path)


def _features(task: ClassificationTask, records: Sequence[Record], ids_of: IdsOnDisk) -> Features:
    """What the model takes of every record; tokenised once and kept on disk."""
    fields = ["text", "text_pair"] if task.pair else ["text"]
    ids = [ids_of([record.get(name) or "" for record in records]) for name in fields]
    rows = [task.joined(*(part.tolist() for part in parts)) for parts in zip(*ids, strict=True)]
    names = ("token_ids", "segment_ids") if task.segments else ("token_ids",)
    return {name: [np.asarray(row[name], np.int32) for row in rows] for name in names}


def _targets(task: ClassificationTask, records: Sequence[Record]) -> np.ndarray:
    """`[examples]` int32, with several labels a text `[examples, labels]` float32."""
    return np.array([task.target(record) for record in records], np.float32 if task.multiple else np.int32)
