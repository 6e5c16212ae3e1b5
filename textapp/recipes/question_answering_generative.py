"""The recipe of question answering in writing: questions, with contexts or without, each with its answer."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.config import Config, TaskKeys, TokenizerConfig
from textapp.errors import is_blank
from textapp.prepared import Prepared
from textapp.recipes import question_answering_generative_profile
from textapp.recipes.generation_defaults import tokenizer_defaults
from textapp.recipes.lengths import MAX_IN_BUCKET
from textapp.recipes.preparing import Encoder
from textapp.recipes.profile import Section, records_by_split
from textapp.recipes.question_answering import COLUMNS, ID
from textapp.recipes.recipe import Records
from textapp.recipes.tokenizers import make_tokenizer
from textapp.recipes.translation import TARGETS, TOKENS, TranslationRecipe
from textapp.records import questions
from textapp.records.cache import lengths_of
from textapp.records.layout import Layout
from textapp.records.parts import ROWS
from textapp.records.rows import RowError
from textapp.records.shards import TokenShards, in_blocks
from textapp.records.sources import Source
from textapp.records.splits import Parts, Splits, split_connected
from textapp.records.token_ids import IdsOnDisk, Sides
from textapp.tasks.generative import GenerativeTask
from textapp.tasks.question_answering_generative import WrittenAnswersTask, joined
from textapp.tasks.translation import framed
from textapp.text.language import guess_language
from textapp.text.tokenizer import Tokenizer, load_tokenizers

if TYPE_CHECKING:
    from textapp.objectives.generative import GenerativeObjective

log = logging.getLogger("textapp")


class WrittenAnswersRecipe(TranslationRecipe):
    """See `Recipe`; the source is a question with its context, the target its answer."""

    task: type[GenerativeTask] = WrittenAnswersTask
    monitor = "f1"
    keys = TaskKeys(
        role="encoder-decoder",
        columns={**COLUMNS, "id": ID},
        keys=frozenset({
            "mode", "data.prepared", "data.language", "generate_lengths", "model.encoder_layers",
            "model.decoder_layers", "model.bidirectional", "model.tie_embeddings", "model.lora_rank", "model.role",
            "training.batch_tokens",
        }),
        monitors=("f1", "exact_match", "bleu", "rougeL", "perplexity", "loss"),
        optional=frozenset({"context", "id"}),
        mode="generative",
    )  # fmt: skip

    def objective(self) -> GenerativeObjective:
        """See `Recipe`."""
        from textapp.objectives.question_answering_generative import WrittenAnswersObjective

        return WrittenAnswersObjective()

    # --- data --------------------------------------------------------------------------------------------------------

    def load(self, source: Source, layout: Layout, data_dir: Path) -> Records:
        """See `load_questions`; questions without an answer are skipped."""
        records = questions.load_questions(source, layout, data_dir, ("question",))
        return questions.with_written_answers(records, source)

    def read(self, source: Source, layout: Layout, data_dir: Path, config: Config) -> Iterator[Records]:
        """See `Recipe`."""
        return in_blocks(questions.read_written_answers(source, layout, data_dir))

    def line_files(self, config: Config) -> Collection[str]:
        """See `Recipe`; the lines that its records tell are not kept."""
        return ROWS

    def has_text(self, record: dict[str, Any], config: Config) -> bool:
        """Whether it has a question and an answer."""
        return "answer" in record and not is_blank(record["question"])

    def scan(self, source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
        """See `Recipe`."""
        return questions.scan_questions(source, layout, data_dir, ("question",))

    def trainable(self, records: Records, source: Source, layout: Layout) -> Records:
        """See `Recipe`."""
        return questions.without_empty(records, source)

    def set_aside(self, records: Records, share: float, config: Config) -> Parts:
        """Splits a share off, so that no context is in both splits, and no question without one."""
        grouped = [{"text": record["context"].strip() or record["question"], "record": record} for record in records]
        rest, taken = split_connected(grouped, share, config.seed, ("text",))
        return [each["record"] for each in rest], [each["record"] for each in taken]

    # --- training ----------------------------------------------------------------------------------------------------

    def languages(self, config: Config, train: Records) -> list[str]:
        """The language of the answers, configured or guessed."""
        return [config.data.language or guess_language([record["answer"] for record in train], config.cleaning)]

    def tokenizer_settings(self, config: Config, num_examples: int, languages: Sequence[str]) -> TokenizerConfig:
        """See `TranslationRecipe`: characters for Chinese and Japanese, else bpe, which keeps frequent words whole."""
        return tokenizer_defaults(config, num_examples, languages[0])

    def resolve(
        self, config: Config, num_examples: int, languages: Sequence[str], source_counts: Sequence[int] | None = None,
        target_counts: Sequence[int] | None = None, max_tokens: int = MAX_IN_BUCKET,
    ) -> Config:  # fmt: skip
        """See `TranslationRecipe`; the role of the model is written down, too.

        Args:
            config, num_examples, languages, source_counts, target_counts, max_tokens: as there.
        """
        config = config.model_copy(update={"model": config.model.model_copy(update={"role": self.keys.role})})
        return super().resolve(config, num_examples, languages, source_counts, target_counts, max_tokens)

    def tokenizers(self, config: Config, splits: Splits, languages: Sequence[str]) -> tuple[Tokenizer, Tokenizer]:
        """Makes the tokenizer for questions, answers and contexts, each context once."""
        contexts = dict.fromkeys(record["context"] for record in splits.train)
        others = (record[field] for record in splits.train for field in ("question", "answer"))
        texts = [{"text": text} for text in (*contexts, *others)]
        tokenizer = make_tokenizer(config, texts, ("text",), languages[0], "translate")
        return tokenizer, tokenizer

    def sources(self, tokenizer: Tokenizer, records: Records, ids: IdsOnDisk) -> list[np.ndarray]:
        """See `TranslationRecipe`."""
        contexts = list(dict.fromkeys(record["context"] for record in records))
        of_context = dict(zip(contexts, ids(contexts), strict=True))
        of_question = ids([record["question"] for record in records])
        return [
            np.array(joined(tokenizer, question, of_context[record["context"]]), np.int32)
            for question, record in zip(of_question, records, strict=True)
        ]

    def encoder(self, config: Config, labels: Sequence[str], folder: Path) -> Encoder:
        """`token_ids` of the question with its context, and `targets`, with their special tokens."""
        tokenizer, _ = load_tokenizers(folder)

        def ids(texts: Sequence[str]) -> Any:
            return [np.array(row, np.int32) for row in tokenizer.many_ids(texts)]

        def encode(records: Any) -> dict[str, list[list[int]]]:
            sides = {
                TOKENS: self.sources(tokenizer, records, ids),
                TARGETS: self.targets(tokenizer, records, ids),
            }
            return {name: [row.tolist() for row in rows] for name, rows in sides.items()}

        return Encoder(encode, {TOKENS: tokenizer.unknown_id, TARGETS: tokenizer.unknown_id})

    def prepare(self, config: Config, splits: Splits, folder: Path) -> Prepared:
        """See `Recipe`; a context that does not fit the model is cut at its end, which is told once."""
        prepared = super().prepare(config, splits, folder)
        longest, train = self.longest(prepared.config), prepared.data["train"].sources
        long = int((lengths_of(train) > longest).sum())
        if long:
            log.warning(
                "%s of %s training questions have more than %s tokens with their context, which is cut at its end",
                f"{long:,}", f"{len(train):,}", longest,
            )  # fmt: skip
        records = records_by_split(splits)
        stored = {"train": splits.prepared} if splits.prepared is not None else {}
        data = {
            name: self.fitted(prepared.task, records[name], sides, stored.get(name))
            for name, sides in prepared.data.items()
        }
        return replace(prepared, data=data)

    def longest(self, config: Config) -> int:
        """The most tokens that are read of a question with its context."""
        return config.lengths[-1]

    def fitted(
        self, task: GenerativeTask, records: Records, sides: Sides, prepared: TokenShards | None = None
    ) -> Any:  # fmt: skip
        """What the objective takes: questions and answers, those that are too long cut.

        Args:
            task: on the device.
            records: of a split; none if it was prepared.
            sides: questions with their contexts, and answers.
            prepared: where they are from, if they were prepared.
        """
        return sides.truncated(task.lengths[-1], max(lengths_of(sides.targets), default=0))

    def counts(self, tokenizer: Tokenizer, records: Records) -> tuple[list[int], list[int]]:
        """The tokens that are read for each record, and those of its answer."""
        contexts = {record["context"]: tokenizer.ids(record["context"]) for record in records}
        read = [len(joined(tokenizer, tokenizer.ids(each["question"]), contexts[each["context"]])) for each in records]
        return read, [len(framed(tokenizer, tokenizer.ids(record["answer"]))) for record in records]

    def profile(self, config: Config, splits: Splits) -> dict[str, Any]:
        """See `Recipe`."""
        return question_answering_generative_profile.profile(self, config, splits)

    def sections(self, profile: dict[str, Any]) -> list[Section]:
        """See `Recipe`."""
        return question_answering_generative_profile.sections(profile)
