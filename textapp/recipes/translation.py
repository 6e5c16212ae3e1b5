"""The recipe of translation: parallel files, or tables of sentence pairs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.artifact import TARGET_TOKENIZER, TOKENIZER
from textapp.config import Config, Corpus, TaskKeys, TokenizerConfig
from textapp.errors import DataError
from textapp.prepared import Prepared
from textapp.recipes import translation_profile
from textapp.recipes.language_profile import language_of_files
from textapp.recipes.lengths import MAX_IN_BUCKET, choose_lengths, translation_lengths
from textapp.recipes.preparing import Begun, Encoder, begun
from textapp.recipes.profile import Section, records_by_split
from textapp.recipes.recipe import PreparableRecipe, Records
from textapp.recipes.resolving import completed, filled
from textapp.recipes.tokenizers import make_side_tokenizers, warn_of_unknown
from textapp.recipes.translation_defaults import tokenizer_defaults, training_defaults
from textapp.records import pairs
from textapp.records.cache import lengths_of
from textapp.records.layout import Layout
from textapp.records.parts import LINES
from textapp.records.rows import RowError
from textapp.records.shards import in_blocks
from textapp.records.sources import Source
from textapp.records.splits import Parts, Splits, split_connected
from textapp.records.text_profile import SIDES
from textapp.records.token_ids import IdsOnDisk, Sides
from textapp.tasks.generative import GenerativeTask
from textapp.tasks.translation import TranslationTask, framed
from textapp.text.language import guess_language
from textapp.text.tokenizer import Tokenizer, load_tokenizers

if TYPE_CHECKING:
    from textapp.objectives.translation import TranslationObjective

log = logging.getLogger("textapp")
FIELDS = ("source", "target")
TOKENS, TARGETS = "token_ids", "targets"  # features of shards


class TranslationRecipe(PreparableRecipe):
    """See `Recipe`."""

    task: type[GenerativeTask] = TranslationTask
    monitor = "bleu"  # by default
    keys = TaskKeys(
        role="encoder-decoder",
        columns={
            "source": ("source", "src", "source_text", "input"),
            "target": ("target", "tgt", "target_text", "translation", "reference", "output"),
        },
        keys=frozenset({
            "data.prepared", "data.source_language", "data.target_language", "tokenizer.shared", "generate_lengths",
            "model.encoder_layers", "model.decoder_layers", "model.bidirectional", "model.tie_embeddings",
            "model.lora_rank", "training.batch_tokens",
        }),
        monitors=("bleu", "chrf", "perplexity", "loss"),
        parallel_files=True,
    )  # fmt: skip

    def objective(self) -> TranslationObjective:
        """See `Recipe`."""
        from textapp.objectives.translation import TranslationObjective

        return TranslationObjective()

    # --- data --------------------------------------------------------------------------------------------------------

    def load(self, source: Source, layout: Layout, data_dir: Path) -> Records:
        """`{"source", "target"}`."""
        return pairs.load_pairs(source, layout, data_dir)

    def read(self, source: Source, layout: Layout, data_dir: Path, config: Config) -> Iterator[Records]:
        """See `Recipe`."""
        return in_blocks(pairs.read_pairs(source, layout, data_dir))

    def unprepared(self, config: Config) -> str | None:
        """See `Recipe`."""
        return None

    def line_files(self, config: Config) -> Collection[str]:
        """See `Recipe`."""
        return LINES

    def has_text(self, record: dict[str, Any], config: Config) -> bool:
        """See `Recipe`."""
        return bool(record["source"] and record["target"])

    def scan(self, source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
        """See `Recipe`."""
        return pairs.scan_pairs(source, layout, data_dir)

    def trainable(self, records: Records, source: Source, layout: Layout) -> Records:
        """See `Recipe`."""
        return pairs.without_empty(records, source)

    def labels(self, train: Records) -> Sequence[str]:
        """See `Recipe`."""
        return ()

    def set_aside(self, records: Records, share: float, config: Config) -> Parts:
        """Splits a share off, so that no sentence is in both splits."""
        return split_connected(records, share, config.seed, FIELDS)

    def divides_texts(self, config: Config) -> bool:
        """See `Recipe`."""
        return False

    # --- training ----------------------------------------------------------------------------------------------------

    def resolve(
        self, config: Config, num_examples: int, languages: Sequence[str], source_counts: Sequence[int] | None = None,
        target_counts: Sequence[int] | None = None, max_tokens: int = MAX_IN_BUCKET,
    ) -> Config:  # fmt: skip
        """Fills in every field that a config leaves open.

        Without token counts, before there is a tokenizer, lengths, model and training stay open.

        Args:
            config: as `load_config` returned it.
            num_examples: number of training pairs.
            languages: of source and target.
            source_counts: tokens of each training source, with the end id.
            target_counts: tokens of each target.
            max_tokens: maximum length of the longest bucket.

        Raises:
            ConfigError: the config conflicts with a value that was filled in.
        """
        # No cleaning by default: a model cannot generate what is removed from its training texts.
        update: dict[str, Any] = {
            "mode": self.keys.mode,
            "tokenizer": self.tokenizer_settings(config, num_examples, languages),
            "cleaning": [] if config.cleaning is None else config.cleaning,
        }
        if source_counts is not None:
            targets = source_counts if target_counts is None else target_counts
            update |= self.sized(config, source_counts, targets, min(max_tokens, MAX_IN_BUCKET))
        return completed(config, update, self.keys)

    def sized(
        self, config: Config, source_counts: Sequence[int], target_counts: Sequence[int], longest: int
    ) -> dict[str, Any]:
        """The parts of the config that follow from the lengths of the training texts.

        Args:
            config: what is given in it stays.
            source_counts, target_counts: as for `resolve`.
            longest: maximum length of the longest bucket.
        """
        lengths = config.lengths or choose_lengths(source_counts, longest)
        pairs = config.generate_lengths or translation_lengths(source_counts, target_counts, lengths, longest)
        defaults = {**training_defaults(config, target_counts), "monitor": self.monitor}
        return {
            "lengths": lengths,
            "generate_lengths": pairs,
            "model": filled(config.model, config.model.defaults(self.keys.role, Corpus(target_counts))),
            "training": filled(config.training, defaults),
        }

    def tokenizer_settings(self, config: Config, num_examples: int, languages: Sequence[str]) -> TokenizerConfig:
        """The tokenizer part of the config, filled in."""
        return tokenizer_defaults(config, num_examples, *languages)

    def languages(self, config: Config, train: Records) -> list[str]:
        """The languages of the texts: configured, told by the names of parallel files, or guessed."""
        guessed = {side: guess_language([record[side] for record in train], config.cleaning) for side in SIDES}
        given = {"source": config.data.source_language, "target": config.data.target_language}
        return [given[side] or language_of_files(config.data.train, side, guessed[side]) for side in SIDES]

    def begin(self, config: Config, splits: Splits, folder: Path) -> Begun:
        """See `Recipe`."""
        prepared = splits.prepared
        languages = prepared.languages if prepared else self.languages(config, splits.leading)
        config = self.resolve(config, splits.train_size or len(splits.leading), languages)
        return begun(config, languages, splits, folder, lambda: self.tokenizers(config, splits, languages))

    def encoder(self, config: Config, labels: Sequence[str], folder: Path) -> Encoder:
        """`token_ids` of the source and `targets`, with their special tokens."""
        source, target = load_tokenizers(folder)

        def encode(records: Sequence[Mapping[str, Any]]) -> dict[str, list[list[int]]]:
            return {
                TOKENS: [framed(source, row) for row in source.many_ids([each["source"] for each in records])],
                TARGETS: [framed(target, row) for row in target.many_ids([each["target"] for each in records])],
            }

        return Encoder(encode, {TOKENS: source.unknown_id, TARGETS: target.unknown_id})

    def prepare(self, config: Config, splits: Splits, folder: Path) -> Prepared:
        """See `Recipe`."""
        lengths_given, prepared = config.lengths is not None, splits.prepared
        by_split = records_by_split(splits)
        leading = next((name for name, records in by_split.items() if records), None) if prepared is None else "train"
        if leading is None:
            raise DataError(
                "data: found no examples, expected some: a preset as it is (training.epochs 0) is measured, and its "
                "lengths are chosen, by data.test"
            )
        config, languages, (source, target), _ = self.begin(config, splits, folder)
        ids = IdsOnDisk(folder, source.ids, folder / TOKENIZER)
        target_ids = ids if target is source else IdsOnDisk(folder, target.ids, folder / TARGET_TOKENIZER)
        sides = {
            name: Sides(
                self.sources(source, records, ids),
                self.targets(target, records, target_ids),
            )
            for name, records in by_split.items()
            if name != "test" or name == leading  # else its ids are not needed
        }
        if prepared is not None:
            sides["train"] = Sides(prepared.column(TOKENS), prepared.column(TARGETS))
        sources, targets = sides[leading].sources, sides[leading].targets
        if prepared is None:
            warn_of_unknown(sources, source, "the training sources")
            warn_of_unknown(targets, target, "the training targets")
        counts = lengths_of(sources), lengths_of(targets)
        config = self.resolve(config, len(sources), languages, *counts, self.max_tokens(config))
        log.info(
            "buckets: %s tokens, outputs of up to %s; vocabulary: %s",
            config.lengths, [new for _, new in config.generate_lengths],
            " and ".join(str(each.vocabulary_size) for each in dict.fromkeys((source, target))),
        )  # fmt: skip
        task = self.device_task(config, source, target, languages)
        return Prepared(config, splits, task, languages, lengths_given, sides)

    def device_task(
        self, config: Config, source: Tokenizer, target: Tokenizer, languages: Sequence[str]
    ) -> GenerativeTask:
        """The task on the device.

        Args:
            config: with lengths.
            source, target: the tokenizers.
            languages: as `languages` returned them.
        """
        return self.task(source, target, config.lengths, config.generate_lengths, *languages)

    def sources(self, tokenizer: Tokenizer, records: Records, ids: IdsOnDisk) -> list[np.ndarray]:
        """What the encoder reads for each record, int32 `[tokens]` with special tokens."""
        return _framed(tokenizer, ids([record["source"] for record in records]))

    def targets(self, tokenizer: Tokenizer, records: Records, ids: IdsOnDisk) -> list[np.ndarray]:
        """What the model should write for each record, int32 `[tokens]` with special tokens."""
        return _framed(tokenizer, ids([record[self.task.target_field] for record in records]))

    def max_tokens(self, config: Config) -> int:
        """Maximum length of the longest bucket; a preset may have a limit."""
        return _max_tokens(config)

    def tokenizers(self, config: Config, splits: Splits, languages: Sequence[str]) -> tuple[Tokenizer, Tokenizer]:
        """Makes the tokenizers for the training sentences of both sides."""
        return make_side_tokenizers(config, splits.train, FIELDS, languages, "translate")

    def profile(self, config: Config, splits: Splits) -> dict[str, Any]:
        """See `Recipe`."""
        return translation_profile.profile(self, config, splits)

    def sections(self, profile: dict[str, Any]) -> list[Section]:
        """See `Recipe`."""
        return translation_profile.sections(profile)


def _framed(tokenizer: Tokenizer, rows: Iterable[np.ndarray]) -> list[np.ndarray]:
    return [np.array(framed(tokenizer, row), np.int32) for row in rows]


def _max_tokens(config: Config) -> int:
    """Maximum length of the longest bucket; a preset may have a limit."""
    if not config.model.pretrained:
        return MAX_IN_BUCKET
    from textapp.models.preset_translator import longest  # imports TensorFlow, so only for a preset

    limit = longest(config.model.path)
    # The start id takes one position of the decoder.
    return MAX_IN_BUCKET if limit is None else min(MAX_IN_BUCKET, limit - 1)
