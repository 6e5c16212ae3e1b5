"""The recipe of generation: a text stream, documents with or without prompts, or conversations."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.arrays import IGNORED
from textapp.artifact import TOKENIZER
from textapp.config import Config, Corpus, TaskKeys
from textapp.predictors.chat import unusable
from textapp.prepared import Prepared
from textapp.recipes import generation_prepared, generation_profile
from textapp.recipes.generation_conversations import Conversations, check_converses, conversation_encoder
from textapp.recipes.generation_defaults import (
    LENGTHS_AS_IT_IS,
    NEW_TOKENS,
    context_for,
    conversations,
    running_text,
    tokenizer_defaults,
    training_defaults,
)
from textapp.recipes.generation_prepared import Lines
from textapp.recipes.generation_texts import TEXTS
from textapp.recipes.lengths import MAX_IN_BUCKET, generation_lengths
from textapp.recipes.preparing import Begun, Encoder, check_prepared, log_sizes
from textapp.recipes.profile import Section, records_by_split
from textapp.recipes.recipe import PreparableRecipe, Records
from textapp.recipes.resolving import completed, filled
from textapp.recipes.tokenizers import load_or_make, make_tokenizer, warn_of_unknown
from textapp.records import documents
from textapp.records.layout import Layout
from textapp.records.messages import spoken
from textapp.records.parts import LINES, ROWS
from textapp.records.rows import RowError
from textapp.records.shards import in_blocks
from textapp.records.sources import Source
from textapp.records.splits import Parts, Splits, split_connected
from textapp.records.token_ids import Document, IdsOnDisk, one_stream
from textapp.tasks.generation import GenerationTask
from textapp.text.language import guess_language
from textapp.text.tokenizer import Tokenizer, load_tokenizers
from textapp.untrusted import key, whole

if TYPE_CHECKING:
    from textapp.objectives.generation import GenerationObjective

log = logging.getLogger("textapp")
FIELDS = ("prompt", "text")


class GenerationRecipe(PreparableRecipe):
    """See `Recipe`."""

    task = GenerationTask
    keys = TaskKeys(
        role="decoder",
        columns={
            "text": (
                "text", "content", "paragraphs", "document", "body", "story", "poem", "continuation", "completion"
            ),
            "prompt": ("prompt", "instruction"),
            "messages": (),
        },
        keys=frozenset({
            "data.prepared", "data.language", "generate_lengths", "model.tie_embeddings", "model.lora_rank",
            "training.batch_tokens",
        }),
        monitors=("perplexity", "loss"),
        optional=frozenset({"prompt", "messages"}),
    )  # fmt: skip

    def objective(self) -> GenerationObjective:
        """See `Recipe`."""
        from textapp.objectives.generation import GenerationObjective

        return GenerationObjective()

    # --- data --------------------------------------------------------------------------------------------------------

    def load(self, source: Source, layout: Layout, data_dir: Path) -> Records:
        """`{"prompt" (if there is one), "text"}`; for conversations also `"messages"`."""
        if documents.MESSAGES in layout.columns:
            return documents.load_conversations(source, layout, data_dir)
        return documents.load_documents(source, layout, data_dir)

    def unprepared(self, config: Config) -> str | None:
        """Running text of a preset."""
        return generation_prepared.unprepared(config)

    def line_files(self, config: Config) -> Collection[str]:
        """See `Recipe`; a `.txt` among others is one document, and what a template refuses is told by its line."""
        if conversations(config):
            return ()
        return LINES if running_text(config) else ROWS

    def read(self, source: Source, layout: Layout, data_dir: Path, config: Config) -> Iterator[Records]:
        """See `Recipe`; running text line by line, as it is tokenised."""
        if conversations(config):
            return in_blocks(documents.read_conversations(source, layout, data_dir))
        read = documents.read_text_lines if running_text(config) else documents.read_documents
        return in_blocks(read(source, layout, data_dir))

    def has_text(self, record: dict[str, Any], config: Config) -> bool:
        """See `Recipe`; an empty line belongs to its text."""
        return running_text(config) or bool(record["text"].strip())

    def scan(self, source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
        """See `Recipe`."""
        return documents.scan_prompts(source, layout, data_dir)

    def trainable(self, records: Records, source: Source, layout: Layout) -> Records:
        """See `Recipe`."""
        return documents.without_empty(records, source)

    def labels(self, train: Records) -> Sequence[str]:
        """See `Recipe`."""
        return ()

    def set_aside(self, records: Records, share: float, config: Config) -> Parts:
        """Splits off the end of a text stream; for documents, equal ones stay together."""
        if running_text(config):
            return documents.split_end(records, share)
        if conversations(config):
            whole = [{"text": spoken(record["messages"]), "record": record} for record in records]
            rest, taken = split_connected(whole, share, config.seed, ("text",))
            return [each["record"] for each in rest], [each["record"] for each in taken]
        return split_connected(records, share, config.seed, ("text",))

    def built_in_texts(self) -> Records:
        """English and Chinese paragraphs."""
        return [{"text": text} for text in TEXTS]

    def divides_texts(self, config: Config) -> bool:
        """A text stream is divided into windows."""
        return running_text(config)

    # --- training ----------------------------------------------------------------------------------------------------

    def resolve(
        self, config: Config, num_examples: int, language: str, token_counts: Sequence[int] | None = None,
        target_counts: Sequence[int] | None = None, max_tokens: int = MAX_IN_BUCKET,
    ) -> Config:  # fmt: skip
        """Fills in every field that a config leaves open.

        Without token counts, before there is a tokenizer, lengths, model and training stay open.

        Args:
            config: as `load_config` returned it.
            num_examples: number of documents; for a text stream its characters / 100.
            language: of the texts.
            token_counts: tokens of each training document as the model reads it, with start and end id; empty for a
                preset without training.
            target_counts: tokens of each text without its prompt; None if there are no prompts.
            max_tokens: maximum length of the context.

        Raises:
            ConfigError: the config conflicts with a value that was filled in.
        """
        # No cleaning by default: a model cannot generate what is removed from its training texts.
        update: dict[str, Any] = {
            "tokenizer": tokenizer_defaults(config, num_examples, language),
            "cleaning": [] if config.cleaning is None else config.cleaning,
        }
        if token_counts is not None:
            lengths = config.lengths or [min(max_tokens, context_for(config, token_counts))]
            prompts = [] if target_counts is None else [
                max(1, whole - text) for whole, text in zip(token_counts, target_counts, strict=True)
            ]  # fmt: skip
            room = NEW_TOKENS if running_text(config) else None
            update["lengths"] = lengths
            chosen = bool(token_counts) and not conversations(config)
            usual = [] if chosen else [pair for pair in LENGTHS_AS_IT_IS if sum(pair) <= lengths[-1]]
            update["generate_lengths"] = (
                config.generate_lengths or usual or generation_lengths(lengths[-1], prompts, room)
            )
            update["model"] = filled(config.model, config.model.defaults(self.keys.role, Corpus(token_counts)))
            update["training"] = filled(config.training, training_defaults(config, token_counts, lengths[-1]))
        return completed(config, update, self.keys)

    def begin(self, config: Config, splits: Splits, folder: Path) -> Begun:
        """See `Recipe`."""
        prepared, running = splits.prepared, running_text(config)
        texts = (record["text"] for record in (Lines(splits.leading) if running else splits.leading))
        known = prepared.languages[0] if prepared else config.data.language
        language = known or guess_language(texts, config.cleaning)
        size = self.examples(config, splits) if prepared is None else key(prepared.manifest, "size", whole())
        config = self.resolve(config, size, language)
        if prepared is not None:
            generation_prepared.check_kind(prepared, config)
            check_prepared(prepared, config)
        _log_sizes(splits, language, running and prepared is None)
        tokenizers = load_or_make(folder, lambda: (self.tokenizer(config, splits, language),) * 2, prepared)
        return Begun(config, [language], tokenizers, size)

    def encoder(self, config: Config, labels: Sequence[str], folder: Path) -> Encoder:
        """See `generation_prepared.encoder`."""
        if conversations(config):
            return conversation_encoder(load_tokenizers(folder)[0])
        return generation_prepared.encoder(load_tokenizers(folder)[0], running_text(config))

    def prepare(self, config: Config, splits: Splits, folder: Path) -> Prepared:
        """See `Recipe`."""
        lengths_given, prepared = config.lengths is not None, splits.prepared
        if config.model.pretrained and lengths_given:
            _check_context(config)
        config, (language,), (tokenizer, _), examples = self.begin(config, splits, folder)
        if fault := unusable(tokenizer):
            log.warning(
                "model.path: %s: its chat template cannot be used: %s; textapp chat needs another (--template FILE)",
                config.model.path, fault,
            )  # fmt: skip
        running = running_text(config)
        learnt = {name: records for name, records in records_by_split(splits).items() if name != "test"}
        talks = Conversations(tokenizer, folder, learnt, prepared) if conversations(config) else None
        if talks is None:
            ids = IdsOnDisk(folder, tokenizer.ids, folder / TOKENIZER)
            task = GenerationTask(tokenizer, [1], language=language, running_text=running)
            read = _one_stream if running else _documents
            texts = {name: read(task, records, ids) for name, records in learnt.items()}
            if prepared is not None:
                texts["train"] = generation_prepared.stored_documents(prepared)
        counts, targets = _counts(texts["train"], splits) if talks is None else talks.counts()
        config = self.resolve(config, examples, language, counts, targets, max_context(config))
        if talks is not None:
            texts = talks.documents(config.lengths[-1])
        if prepared is None:
            warn_of_unknown([document.inputs for document in texts["train"]], tokenizer, "the training texts")
        log.info("context: %s tokens; vocabulary: %s", config.lengths[-1], tokenizer.vocabulary_size)
        task = GenerationTask(tokenizer, config.lengths, config.generate_lengths, language, running)
        return Prepared(config, splits, task, [language], lengths_given, texts)

    def examples(self, config: Config, splits: Splits) -> int:
        """The number of training examples: documents, or pieces of a text stream."""
        if not running_text(config):
            return len(splits.train)
        characters = sum(len(record["text"]) for record in splits.train)
        return max(1, characters // documents.CHARACTERS_PER_EXAMPLE)

    def tokenizer(self, config: Config, splits: Splits, language: str) -> Tokenizer:
        """Makes the tokenizer for the training texts; for conversations it has to have a chat template."""
        texts = Lines(splits.train) if running_text(config) else splits.train
        tokenizer = make_tokenizer(config, texts, FIELDS, language, "continue")
        if conversations(config):
            check_converses(config, tokenizer)
        return tokenizer

    def profile(self, config: Config, splits: Splits) -> dict[str, Any]:
        """See `Recipe`."""
        return generation_profile.profile(self, config, splits)

    def sections(self, profile: dict[str, Any]) -> list[Section]:
        """See `Recipe`."""
        return generation_profile.sections(profile)


def max_context(config: Config) -> int:
    """Maximum length of a context chosen from the data; a preset may have a limit."""
    if not config.model.pretrained:
        return MAX_IN_BUCKET
    from textapp.models.preset_decoder import facts  # imports TensorFlow, so only for a preset

    return facts(config.model.path).max_length or MAX_IN_BUCKET


def _check_context(config: Config) -> None:
    from textapp.models.preset_decoder import check_context

    check_context(config.model.path, config.lengths[-1])


def _log_sizes(splits: Splits, language: str, running: bool) -> None:
    if not running:
        log_sizes(splits.sizes, "examples", [language])
        return
    sizes = [sum(len(record["text"]) for record in records) for records in records_by_split(splits).values()]
    log_sizes(sizes, "characters", [language])


def _counts(train: Sequence[Document], splits: Splits) -> tuple[list[int], list[int] | None]:
    """The tokens of each document, and those of its text; None if there are no prompts."""
    prompted = splits.prepared is not None and generation_prepared.prompted(splits.prepared)
    prompted = prompted or any(record.get("prompt") for record in splits.train)
    targets = [int((document.targets != IGNORED).sum()) for document in train] if prompted else None
    return [len(document.inputs) for document in train], targets


def _one_stream(task: GenerationTask, records: Records, ids_of: IdsOnDisk) -> list[Document]:
    """All texts concatenated into one document; none for a split without texts."""
    if not records:
        return []
    # Tokenized line by line, which is faster, and better for the unigram model, which segments the end of very long
    # texts worse. A preset's tokenizer may have tokens that span lines, or put a space before each text.
    whole = task.tokenizer.kind == "preset"
    lines = [
        line for record in records for line in ([record["text"]] if whole else record["text"].splitlines(keepends=True))
    ]
    return [one_stream(np.concatenate(list(ids_of(lines))))]


def _documents(task: GenerationTask, records: Records, ids_of: IdsOnDisk) -> list[Document]:
    """A document for each record, with start and end id; the tokens of a prompt have no loss."""
    start, end = np.array([task.start_id], np.int32), np.array([task.end_id], np.int32)
    prompts = ids_of([record.get("prompt") or "" for record in records])
    texts = []
    for prompt, text in zip(prompts, ids_of([record["text"] for record in records]), strict=True):
        targets = np.concatenate([np.full(len(prompt), IGNORED, np.int32), text, end])
        texts.append(Document(np.concatenate([start, prompt, text]), targets))
    return texts
