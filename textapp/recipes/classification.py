"""The recipe of classification: tables of labelled texts."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.artifact import TOKENIZER
from textapp.config import Config, Corpus, TaskKeys
from textapp.languages import without_spaces
from textapp.prepared import Prepared
from textapp.recipes import classification_profile
from textapp.recipes.classification_defaults import tokenizer_defaults, training_defaults
from textapp.recipes.lengths import MAX_IN_BUCKET, choose_lengths
from textapp.recipes.preparing import Begun, Encoder, begun
from textapp.recipes.profile import Section, records_by_split
from textapp.recipes.recipe import PreparableRecipe, Records
from textapp.recipes.resolving import completed, filled
from textapp.recipes.tokenizers import make_tokenizer
from textapp.records import labelled
from textapp.records.cache import lengths_of
from textapp.records.layout import Layout
from textapp.records.lookalikes import lookalike_warnings
from textapp.records.parts import LINES
from textapp.records.profile import label_counts
from textapp.records.rows import RowError
from textapp.records.shards import BLOCK, LABELS, ManyLabels
from textapp.records.sources import Source
from textapp.records.splits import Parts, Splits, split_share
from textapp.records.token_ids import IdsOnDisk, Labelled
from textapp.tasks.classification import ClassificationTask
from textapp.text.language import guess_language
from textapp.text.tokenizer import Tokenizer, load_tokenizers

if TYPE_CHECKING:
    from textapp.objectives.classification import ClassificationObjective

log = logging.getLogger("textapp")
MAX_TOKENS = 4096  # per text, before the buckets are known


class ClassificationRecipe(PreparableRecipe):
    """See `Recipe`."""

    task = ClassificationTask
    keys = TaskKeys(
        role="encoder",
        columns={
            "text": ("text", "sentence", "content", "review", "question", "title", "text_a", "sentence1", "premise"),
            "text_pair": (),
            "label": (
                "label", "labels", "class", "category", "sentiment", "target", "topic", "intent", "star", "stars"
            ),
        },
        keys=frozenset({
            "data.prepared", "data.pattern", "data.labels", "data.label_separator", "data.language",
            "model.bidirectional", "model.dense_units", "model.vectors", "training.class_weights",
        }),
        monitors=("accuracy", "f1_macro", "loss"),
    )  # fmt: skip

    def objective(self) -> ClassificationObjective:
        """See `Recipe`."""
        from textapp.objectives.classification import ClassificationObjective

        return ClassificationObjective()

    # --- data --------------------------------------------------------------------------------------------------------

    def load(self, source: Source, layout: Layout, data_dir: Path) -> Records:
        """`{"text", "text_pair" (pairs only), "label": a string, or a list of strings}`."""
        return labelled.load_labelled(source, layout, data_dir)

    def read(self, source: Source, layout: Layout, data_dir: Path, config: Config) -> Iterator[Records]:
        """See `Recipe`."""
        return labelled.labelled_blocks(source, layout, data_dir, BLOCK)

    def unprepared(self, config: Config) -> str | None:
        """See `Recipe`."""
        return None

    def line_files(self, config: Config) -> Collection[str]:
        """See `Recipe`."""
        return LINES

    def has_text(self, record: dict[str, Any], config: Config) -> bool:
        """See `Recipe`."""
        return bool(record["text"].strip())

    def scan(self, source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
        """See `Recipe`."""
        return labelled.scan_texts(source, layout, data_dir)

    def trainable(self, records: Records, source: Source, layout: Layout) -> Records:
        """See `Recipe`; there must be at least two labels."""
        records = labelled.with_text(records, source)
        labelled.check_classes(records, source, layout)
        return records

    def labels(self, train: Records) -> list[str]:
        """See `Recipe`."""
        return labelled.label_names(train)

    def set_aside(self, records: Records, share: float, config: Config) -> Parts:
        """Splits a share off, stratified by label."""
        return split_share(records, share, config.seed)

    def divides_texts(self, config: Config) -> bool:
        """See `Recipe`."""
        return False

    # --- training ----------------------------------------------------------------------------------------------------

    def resolve(
        self, config: Config, num_examples: int, language: str, token_counts: Sequence[int] | None = None,
        max_tokens: int = MAX_IN_BUCKET,
    ) -> Config:  # fmt: skip
        """Fills in every field that a config leaves open.

        Args:
            config: as `load_config` returned it.
            num_examples: number of training texts.
            language: of the texts.
            token_counts: tokens of each training text as the model reads it; None: lengths are not filled in.
            max_tokens: maximum length of the longest bucket.

        Raises:
            ConfigError: the config conflicts with a value that was filled in.
        """
        tokenizer = tokenizer_defaults(config, num_examples, language)
        update: dict[str, Any] = {"tokenizer": tokenizer}
        if config.cleaning is None:
            update["cleaning"] = [] if tokenizer.kind == "preset" else ["nfkc", "lowercase", "whitespace"]
        if config.lengths is None and token_counts is not None:
            update["lengths"] = choose_lengths(token_counts, min(max_tokens, MAX_IN_BUCKET))
        corpus = Corpus(token_counts, tokenizer.kind == "characters", not without_spaces(language))
        update["model"] = filled(config.model, config.model.defaults(self.keys.role, corpus))
        update["training"] = filled(config.training, training_defaults(config, num_examples))
        return completed(config, update, self.keys)

    def begin(self, config: Config, splits: Splits, folder: Path) -> Begun:
        """See `Recipe`."""
        prepared, language = splits.prepared, config.data.language
        if language is None:
            texts = (record["text"] for record in splits.train)
            language = prepared.languages[0] if prepared else guess_language(texts, config.cleaning)
        config = self.resolve(config, splits.train_size, language)
        return begun(config, [language], splits, folder, lambda: (self.tokenizer(config, splits, language),) * 2)

    def encoder(self, config: Config, labels: Sequence[str], folder: Path) -> Encoder:
        """`token_ids` (and `segment_ids`), and the numbers of the `labels`."""
        tokenizer, _ = load_tokenizers(folder)
        task = _task(config, labels, tokenizer, [MAX_TOKENS])
        numbers = {label: [number] for number, label in enumerate(labels)}

        def encode(records: Sequence[Mapping[str, Any]]) -> dict[str, list[list[int]]]:
            texts = [[record.get(name) or "" for record in records] for name in task.fields]
            ids = [tokenizer.many_ids(each) for each in texts]
            given = [record["label"] for record in records]
            of_labels = [
                numbers[label] if isinstance(label, str) else [number for each in label for number in numbers[each]]
                for label in given
            ]
            if task.feature_names == ["token_ids"] and not task.pair:  # as `joined`, without a call for each text
                around, unknown = tokenizer.template.around, [tokenizer.unknown_id]
                return {"token_ids": [around(row, MAX_TOKENS) or unknown for row in ids[0]], LABELS: of_labels}
            rows = [task.joined(*each) for each in zip(*ids, strict=True)]
            return {**{name: [row[name] for row in rows] for name in task.feature_names}, LABELS: of_labels}

        return Encoder(encode, {"token_ids": tokenizer.unknown_id})

    def prepare(self, config: Config, splits: Splits, folder: Path) -> Prepared:
        """See `Recipe`."""
        lengths_given, prepared = config.lengths is not None, splits.prepared
        config, languages, (tokenizer, _), _ = self.begin(config, splits, folder)
        _warn_of_lookalikes(splits)
        labels = prepared.labels if prepared else self.labels(splits.train)
        task = _task(config, labels, tokenizer, [MAX_TOKENS])
        ids = IdsOnDisk(folder, tokenizer.ids, folder / TOKENIZER)
        records = records_by_split(splits)
        data = {name: Labelled(_features(task, rows, ids), _targets(task, rows)) for name, rows in records.items()}
        if prepared:
            columns = {name: prepared.column(name) for name in task.feature_names}
            many = ManyLabels(prepared.column(LABELS), len(labels)) if task.multiple else None
            data["train"] = Labelled(columns, many or prepared.targets)
        counts = lengths_of(data["train"].features["token_ids"])
        config = self.resolve(config, splits.train_size, *languages, counts, _max_tokens(config))
        log.info("buckets: %s tokens; vocabulary: %s", config.lengths, tokenizer.vocabulary_size)
        return Prepared(config, splits, task.with_lengths(config.lengths), languages, lengths_given, data)

    def tokenizer(self, config: Config, splits: Splits, language: str) -> Tokenizer:
        """Makes the tokenizer for the training texts."""
        return make_tokenizer(config, splits.train, labelled.TEXTS, language, "read")

    def profile(self, config: Config, splits: Splits) -> dict[str, Any]:
        """See `Recipe`."""
        return classification_profile.profile(self, config, splits)

    def sections(self, profile: dict[str, Any]) -> list[Section]:
        """See `Recipe`."""
        return classification_profile.sections(profile)


def _warn_of_lookalikes(splits: Splits) -> None:
    counts = label_counts(records_by_split(splits))
    for line in lookalike_warnings({label: sum(split.values()) for label, split in counts.items()}):
        log.warning("%s", line)


def _task(config: Config, labels: Sequence[str], tokenizer: Tokenizer, lengths: Sequence[int]) -> ClassificationTask:
    pair = "text_pair" in config.data.columns
    segments = False
    if pair and config.model.pretrained:
        from textapp.models.preset import facts  # imports TensorFlow, so only for a preset

        segments = facts(config.model.path).segments
    return ClassificationTask(tokenizer, labels, lengths, config.data.labels == "multiple", pair, segments)


def _max_tokens(config: Config) -> int:
    """Maximum length of the longest bucket; a preset may have a limit."""
    if not config.model.pretrained:
        return MAX_IN_BUCKET
    from textapp.models.preset import facts

    return facts(config.model.path).max_length or MAX_IN_BUCKET


def _features(task: ClassificationTask, records: Records, ids_of: IdsOnDisk) -> dict[str, list[np.ndarray]]:
    """The features of every record; the ids are kept on disk."""
    ids = [ids_of([record.get(name) or "" for record in records]) for name in task.fields]
    rows = [task.joined(*(part.tolist() for part in parts)) for parts in zip(*ids, strict=True)]
    return {name: [np.asarray(row[name], np.int32) for row in rows] for name in task.feature_names}


def _targets(task: ClassificationTask, records: Records) -> np.ndarray:
    """`[examples]` int32; for multi-label classification `[examples, labels]` float32."""
    return np.array([task.target(record) for record in records], np.float32 if task.multiple else np.int32)
