"""Generation: documents, or running text, become what a language model reads and what it is to say next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.artifact import TOKENIZER
from textapp.commands.prepare.common import IdsOnDisk, Prepared, Record, log, log_sizes, named_splits, warn_of_unknown
from textapp.commands.prepare.tokenizers import kept_or_made
from textapp.config import Config
from textapp.decoding.scoring import IGNORED
from textapp.defaults import MOST_IN_BUCKET, resolve
from textapp.errors import DataError
from textapp.records.documents import CHARACTERS_AN_EXAMPLE
from textapp.records.loading import Splits
from textapp.tasks.generation import GenerationTask
from textapp.text.language import guess_language

if TYPE_CHECKING:
    import keras

    from textapp.batches.pipeline import BatchSource
    from textapp.models.preset_decoder import Facts
    from textapp.objectives.writing import WritingValidation

SCORED = 200  # prompts of the data whose answers are scored at the end
BATCH_SIZE = 32  # documents or windows a batch where tokens are not counted


@dataclass(frozen=True)
class Document:
    """One text: int32 `[tokens]`, what is read and what is to be said; `IGNORED` where that does not count."""

    read: np.ndarray
    said: np.ndarray


@dataclass(frozen=True)
class PreparedGeneration(Prepared):
    """Adds the `documents` of each split; of running text one, however many files there are."""

    documents: dict[str, list[Document]]

    @property
    def context(self) -> int:
        """The most tokens that the model sees at once."""
        return self.config.lengths[-1]

    def build(self) -> keras.Model:
        return self._build(plain=False)

    def build_plain(self) -> keras.Model:
        return self._build(plain=True)

    def _build(self, plain: bool) -> keras.Model:
        from textapp.models import build_generator

        tokenizer = self.task.tokenizer
        return build_generator(
            self.config.model,
            vocabulary_size=tokenizer.vocabulary_size,
            pad_id=tokenizer.pad_id,
            start_id=self.task.start_id,
            end_id=self.task.end_id,
            max_length=self.context,
            never_ids=tokenizer.never_ids,
            plain=plain,
        )

    def batches(self) -> BatchSource:
        from textapp.batches.sequences import PackedBatches, StreamBatches

        training, documents = self.config.training, self.documents["train"]
        rows = training.batch_size or max(1, training.batch_tokens // self.context)
        if self.task.running_text:
            return StreamBatches(documents[0].read, self.context, rows, self.config.seed)
        pieces = list(_pieces(documents, self.context))
        if not self._packs:
            return self._unpacked(pieces)
        read, said = [piece.read for piece in pieces], [piece.said for piece in pieces]
        return PackedBatches(read, said, self.task.tokenizer.pad_id, self.context, rows, self.config.seed)

    @property
    def _packs(self) -> bool:
        """Whether a row may hold several texts: an LSTM's state goes on through a whole row."""
        model = self.config.model
        return _preset(self.config).packs if model.architecture == "preset" else model.architecture != "lstm"

    def _unpacked(self, pieces: Sequence[Document]) -> BatchSource:
        from textapp.batches.sequences import TokenBatches

        training = self.config.training
        return TokenBatches(
            {"token_ids": [piece.read for piece in pieces]}, [piece.said for piece in pieces],
            self.task.tokenizer.pad_id, batch_tokens=training.batch_tokens,
            batch_size=training.batch_size or BATCH_SIZE, seed=self.config.seed, most={"token_ids": self.context},
        )  # fmt: skip

    def loss(self) -> Callable[[dict[str, Any], Any], Any]:
        from textapp.objectives.language import make_loss

        return make_loss(self.config.training.label_smoothing)

    def validation(self, model: keras.Model) -> WritingValidation:
        from textapp.objectives.writing import SHOWN_SAMPLES, WritingValidation

        pieces = list(_pieces(self.documents["validation"], self.context))
        if not pieces:
            raise DataError(
                "data.validation: found one token or none, expected more text: give a file or a larger share"
            )
        source = self._unpacked(pieces)
        shown = self.task.queries(self.splits.validation, SHOWN_SAMPLES)[:SHOWN_SAMPLES]
        return WritingValidation(model, self.task, source, shown=shown)

    def figures(self, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        from textapp.metrics.generation import perplexity
        from textapp.objectives.writing import spread, writer

        predictor = writer(model, self.task)
        figures: dict[str, Any] = {"examples": len(records), **perplexity(predictor.score_texts(records))}
        prompted = spread([record for record in records if record.get("prompt")], SCORED)
        if prompted:
            figures["answers"] = self.task.score(prompted, predictor.batch(prompted))
        return figures

    def manifest(self) -> dict[str, Any]:
        return {
            "inputs": ["prompt"],
            "features": ["token_ids", "num_tokens"],
            "generate_lengths": [list(pair) for pair in self.config.generate_lengths],
            "shared_tokenizer": True,
            "running_text": self.task.running_text,
            "context": self.context,
        }


def prepare_generation(config: Config, splits: Splits, folder: Path) -> PreparedGeneration:
    """See `prepare`."""
    lengths_given = config.lengths is not None
    if config.model.architecture == "preset" and lengths_given:
        _check_context(config)
    language = config.data.language or guess_language([record["text"] for record in splits.train])
    running = config.running_text
    characters = sum(len(record["text"]) for record in splits.train)
    examples = max(1, characters // CHARACTERS_AN_EXAMPLE) if running else len(splits.train)
    config = resolve(config, examples, language=language)
    if running:
        sizes = [sum(len(record["text"]) for record in records) for records in named_splits(splits).values()]
        log.info("data: %s training, %s validation, %s test characters (%s)", *(f"{n:,}" for n in sizes), language)
    else:
        log_sizes(splits, [language])
    tokenizer, _ = kept_or_made(config, splits, [language], folder)
    ids = IdsOnDisk(folder, tokenizer, folder / TOKENIZER)
    task = GenerationTask(tokenizer, [1], language=language, running_text=running)
    read = _running if running else _whole
    documents = {name: read(task, records, ids) for name, records in named_splits(splits).items() if name != "test"}
    warn_of_unknown([document.read for document in documents["train"]], tokenizer, "the training texts")
    counts = [len(document.read) for document in documents["train"]]
    prompted = any(record.get("prompt") for record in splits.train)
    written = [int((document.said != IGNORED).sum()) for document in documents["train"]]
    written = written if prompted else None
    config = resolve(config, examples, counts, language, most_context(config), target_counts=written)
    log.info("context: %s tokens; vocabulary: %s", config.lengths[-1], tokenizer.vocabulary_size)
    task = GenerationTask(tokenizer, config.lengths, config.generate_lengths, language, running)
    return PreparedGeneration(config, splits, task, [language], lengths_given, documents)


def most_context(config: Config) -> int:
    """The longest context, in tokens, that a model of this config may have where it names none."""
    most = _preset(config).max_length if config.model.architecture == "preset" else None
    return most or MOST_IN_BUCKET


def _preset(config: Config) -> Facts:
    from textapp.models.preset_decoder import facts  # brings TensorFlow: only where there is a preset

    return facts(config.model.path)


def _check_context(config: Config) -> None:
    from textapp.models.preset_decoder import check_context

    check_context(config.model.path, config.lengths[-1])


def _running(task: GenerationTask, records: Sequence[Record], ids_of: IdsOnDisk) -> list[Document]:
    """All texts one after the other, as one; of a split without texts none."""
    if not records:
        return []
    # Line by line: a quicker way to the same ids, and of a megabyte at once the unigram model cuts the end worse.
    # A preset's tokenizer knows tokens of several lines, and may put a blank before each text.
    whole = task.tokenizer.kind == "preset"
    lines = [
        line for record in records for line in ([record["text"]] if whole else record["text"].splitlines(keepends=True))
    ]
    flat = np.concatenate(list(ids_of(lines)))
    return [Document(flat, np.append(flat[1:], np.int32(IGNORED)))]


def _whole(task: GenerationTask, records: Sequence[Record], ids_of: IdsOnDisk) -> list[Document]:
    """A document a record, from its start id to its end id; a prompt is read, not learned."""
    start, end = np.array([task.start_id], np.int32), np.array([task.end_id], np.int32)
    prompts = ids_of([record.get("prompt") or "" for record in records])
    documents = []
    for prompt, text in zip(prompts, ids_of([record["text"] for record in records]), strict=True):
        said = np.concatenate([np.full(len(prompt), IGNORED, np.int32), text, end])
        documents.append(Document(np.concatenate([start, prompt, text]), said))
    return documents


def _pieces(documents: Sequence[Document], context: int) -> Iterator[Document]:
    """Documents of at most `context` tokens; longer ones are cut into pieces, what says nothing is left out."""
    for document in documents:
        for begin in range(0, len(document.read), context):
            said = document.said[begin : begin + context]
            if (said != IGNORED).any():
                yield Document(document.read[begin : begin + context], said)
