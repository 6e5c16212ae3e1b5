"""Translation: sentence pairs become sources, and targets that are read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.artifact import TARGET_TOKENIZER, TOKENIZER
from textapp.commands.prepare.common import IdsOnDisk, Prepared, Record, log, log_sizes, named_splits, warn_of_unknown
from textapp.commands.prepare.tokenizers import kept_or_made
from textapp.config import Config
from textapp.defaults import MOST_IN_BUCKET, resolve
from textapp.errors import DataError
from textapp.records.loading import Splits
from textapp.tasks.translation import TranslationTask, framed
from textapp.text.language import guess_language

if TYPE_CHECKING:
    import keras

    from textapp.batches.sequences import TokenBatches
    from textapp.objectives.writing import WritingValidation
    from textapp.text.tokenizer import Tokenizer

SCORED = 500  # validation sentences that are translated after each epoch
BATCH_SIZE = 64  # sentences a batch where tokens are not counted, and in validation


@dataclass(frozen=True)
class Sides:
    """The ids of sentence pairs, each with its special tokens. Lists of int32 arrays `[tokens]`."""

    sources: Sequence[np.ndarray]
    targets: Sequence[np.ndarray]

    def within(self, most_source: int, most_target: int) -> Sides:
        """The pairs whose sides are at most so long, in tokens."""
        kept = [
            (source, target)
            for source, target in zip(self.sources, self.targets, strict=True)
            if len(source) <= most_source and len(target) <= most_target
        ]
        return Sides([source for source, _ in kept], [target for _, target in kept])

    def cut(self, most_source: int, most_target: int) -> Sides:
        """All pairs, what is too long cut; a source keeps its end id."""
        sources = [row if len(row) <= most_source else np.append(row[: most_source - 1], row[-1:])
                   for row in self.sources]  # fmt: skip
        return Sides(sources, [row[:most_target] for row in self.targets])


@dataclass(frozen=True)
class PreparedTranslation(Prepared):
    """Adds the `sides` of each split."""

    sides: dict[str, Sides]

    @property
    def most_new(self) -> int:
        """The longest translation, in tokens, the end id included."""
        return max(new for _, new in self.config.generate_lengths)

    def build(self) -> keras.Model:
        return self._build(plain=False)

    def build_plain(self) -> keras.Model:
        return self._build(plain=True)

    def _build(self, plain: bool) -> keras.Model:
        from textapp.models import build_generator

        task, shared = self.task, self.task.target_tokenizer is self.task.tokenizer
        return build_generator(
            self.config.model,
            vocabulary_size=task.target_tokenizer.vocabulary_size,
            pad_id=task.target_tokenizer.pad_id,
            start_id=task.start_id,
            end_id=task.end_id,
            max_length=self.most_new + 1,
            source_vocabulary_size=None if shared else task.tokenizer.vocabulary_size,
            max_source_length=self.config.lengths[-1],
            never_ids=task.target_tokenizer.never_ids,
            plain=plain,
        )

    def batches(self) -> TokenBatches:
        training, sides = self.config.training, self.sides["train"]
        kept = sides.within(self.config.lengths[-1], self.most_new)
        dropped = len(sides.sources) - len(kept.sources)
        if not kept.sources:
            raise DataError(
                f"none of {dropped:,} training pairs has a source of at most {self.config.lengths[-1]} tokens and a "
                f"target of at most {self.most_new}: raise lengths and generate_lengths"
            )
        if dropped:
            log.warning(
                "dropped %s of %s training pairs: a source of more than %s tokens or a target of more than %s",
                f"{dropped:,}", f"{len(sides.sources):,}", self.config.lengths[-1], self.most_new,
            )  # fmt: skip
        return self._batches(kept, training.batch_tokens, training.batch_size or BATCH_SIZE)

    def _batches(self, sides: Sides, batch_tokens: int | None, batch_size: int) -> TokenBatches:
        from textapp.batches.sequences import TokenBatches

        start = np.array([self.task.start_id], np.int32)
        read = [np.concatenate([start, target[:-1]]) for target in sides.targets]
        return TokenBatches(
            {"token_ids": sides.sources, "target_ids": read}, sides.targets, self.task.tokenizer.pad_id,
            batch_tokens=batch_tokens, batch_size=batch_size, seed=self.config.seed,
            most={"token_ids": self.config.lengths[-1], "target_ids": self.most_new},
        )  # fmt: skip

    def loss(self) -> Callable[[dict[str, Any], Any], Any]:
        from textapp.objectives.language import make_loss

        return make_loss(self.config.training.label_smoothing)

    def validation(self, model: keras.Model) -> WritingValidation:
        from textapp.objectives.writing import SHOWN_SAMPLES, WritingValidation, spread

        sides = self.sides["validation"].cut(self.config.lengths[-1], self.most_new)
        records = spread(self.splits.validation, SCORED)
        source = self._batches(sides, self.config.training.batch_tokens, BATCH_SIZE)
        return WritingValidation(model, self.task, source, records, spread(records, SHOWN_SAMPLES))

    def figures(self, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        from textapp.metrics.generation import perplexity
        from textapp.objectives.writing import writer

        predictor = writer(model, self.task)
        surprise = perplexity(predictor.score_texts(records))
        scores = self.task.score(records, predictor.batch(records))
        return {**scores, **{name: surprise[name] for name in ("loss", "perplexity")}}

    def manifest(self) -> dict[str, Any]:
        shared = self.task.target_tokenizer is self.task.tokenizer
        return {
            "inputs": ["source"],
            "features": ["token_ids"],
            "generate_lengths": [list(pair) for pair in self.config.generate_lengths],
            "shared_tokenizer": shared,
        }


def prepare_translation(config: Config, splits: Splits, folder: Path) -> PreparedTranslation:
    """See `prepare`."""
    lengths_given, data = config.lengths is not None, config.data
    languages = [
        data.source_language or guess_language([record["source"] for record in splits.train]),
        data.target_language or guess_language([record["target"] for record in splits.train]),
    ]
    config = resolve(config, len(splits.train), language=languages[0], target_language=languages[1])
    log_sizes(splits, languages)
    source, target = kept_or_made(config, splits, languages, folder)
    ids = IdsOnDisk(folder, source, folder / TOKENIZER)
    target_ids = ids if target is source else IdsOnDisk(folder, target, folder / TARGET_TOKENIZER)
    sides = {
        name: Sides(
            _framed(source, ids([record["source"] for record in records])),
            _framed(target, target_ids([record["target"] for record in records])),
        )
        for name, records in named_splits(splits).items()
        if name != "test"  # its texts are translated, not read as ids
    }
    warn_of_unknown(sides["train"].sources, source, "the training sources")
    warn_of_unknown(sides["train"].targets, target, "the training targets")
    counts = [len(row) for row in sides["train"].sources], [len(row) for row in sides["train"].targets]
    config = resolve(
        config, len(splits.train), counts[0], languages[0], _most_tokens(config),
        target_counts=counts[1], target_language=languages[1],
    )  # fmt: skip
    log.info(
        "buckets: %s tokens, translations of up to %s; vocabulary: %s",
        config.lengths, [new for _, new in config.generate_lengths],
        " and ".join(str(each.vocabulary_size) for each in dict.fromkeys((source, target))),
    )  # fmt: skip
    task = TranslationTask(source, target, config.lengths, config.generate_lengths, *languages)
    return PreparedTranslation(config, splits, task, languages, lengths_given, sides)


def _framed(tokenizer: Tokenizer, rows: Iterable[np.ndarray]) -> list[np.ndarray]:
    return [np.array(framed(tokenizer, row), np.int32) for row in rows]


def _most_tokens(config: Config) -> int:
    """The longest bucket, where the lengths are chosen: a preset reads so many tokens and no more."""
    if config.model.architecture != "preset":
        return MOST_IN_BUCKET
    from textapp.models.preset_translator import longest  # brings TensorFlow: only where there is a preset

    most = longest(config.model.path)
    # Its decoder has a place for what it reads first, before the tokens that it writes.
    return MOST_IN_BUCKET if most is None else min(MOST_IN_BUCKET, most - 1)
