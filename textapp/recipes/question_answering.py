"""The recipe of question answering: questions about contexts, each with the place of its answer."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.config import Config, Corpus, TaskKeys
from textapp.errors import ConfigError, DataError
from textapp.prepared import Prepared
from textapp.recipes import question_answering_profile
from textapp.recipes.lengths import choose_lengths, covering
from textapp.recipes.preparing import Begun, Encoder, begun
from textapp.recipes.profile import Section
from textapp.recipes.question_answering_defaults import (
    MAX_LENGTH,
    MAX_WINDOWS,
    STRIDE,
    tokenizer_defaults,
    training_defaults,
)
from textapp.recipes.question_answering_prepared import (
    TOKENS,
    Asked,
    features_of,
    have_whole_words,
    stored_questions,
)
from textapp.recipes.recipe import PreparableRecipe, Records
from textapp.recipes.resolving import completed, filled
from textapp.recipes.tokenizers import make_tokenizer
from textapp.records import questions
from textapp.records.layout import Layout
from textapp.records.parts import ROWS
from textapp.records.rows import RowError
from textapp.records.shards import in_blocks
from textapp.records.sources import Source
from textapp.records.splits import Parts, Splits, split_connected
from textapp.records.token_ids import Labelled
from textapp.tasks.question_answering import MIN_CONTEXT, QuestionAnsweringTask, Reading, special_tokens
from textapp.text.base import Encoding
from textapp.text.language import guess_language
from textapp.text.tokenizer import Tokenizer, load_tokenizers
from textapp.text.words import inside_word

if TYPE_CHECKING:
    from textapp.objectives.question_answering import QuestionAnsweringObjective

log = logging.getLogger("textapp")
FIELDS = ("question", "context")
MAX_CUT_WORDS = 0.01  # of the answers; more, and those of the model may end inside a word, too
COLUMNS = {  # of either mode
    "question": ("question", "query"),
    "context": ("context", "passage", "paragraph"),
    "answer": ("answer", "answers", "answer_text", "answers.text"),
}
ID = ("id", "qid")


class QuestionAnsweringRecipe(PreparableRecipe):
    """See `Recipe`."""

    task = QuestionAnsweringTask
    keys = TaskKeys(
        role="reader",
        columns={**COLUMNS, "start": ("start", "answer_start", "answers.answer_start"), "id": ID},
        keys=frozenset({
            "mode", "data.prepared", "data.language", "data.misplaced_answers", "model.bidirectional", "stride",
            "max_answer_tokens", "max_windows",
        }),
        monitors=("f1", "exact_match"),
        optional=frozenset({"start", "id"}),
        mode="extractive",
    )  # fmt: skip

    def objective(self) -> QuestionAnsweringObjective:
        """See `Recipe`."""
        from textapp.objectives.question_answering import QuestionAnsweringObjective

        return QuestionAnsweringObjective()

    # --- data --------------------------------------------------------------------------------------------------------

    def load(self, source: Source, layout: Layout, data_dir: Path) -> Records:
        """See `load_questions`."""
        return questions.load_questions(source, layout, data_dir)

    def unprepared(self, config: Config) -> str | None:
        """See `Recipe`."""
        return None

    def line_files(self, config: Config) -> Collection[str]:
        """See `Recipe`; the lines that its records tell are not kept."""
        return ROWS

    def read(self, source: Source, layout: Layout, data_dir: Path, config: Config) -> Iterator[Records]:
        """See `Recipe`."""
        return in_blocks(questions.read_questions(source, layout, data_dir))

    def has_text(self, record: dict[str, Any], config: Config) -> bool:
        """Whether a question can be trained on, see `questions.with_answers`."""
        return questions.is_usable(record, config.data.misplaced_answers == "error")

    def scan(self, source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
        """See `Recipe`."""
        return questions.scan_questions(source, layout, data_dir)

    def trainable(self, records: Records, source: Source, layout: Layout) -> Records:
        """Drops questions whose answer is not in their context, unless `data.misplaced_answers` is `error`."""
        return questions.with_answers(records, source, layout.strict)

    def labels(self, train: Records) -> Sequence[str]:
        """See `Recipe`."""
        return ()

    def set_aside(self, records: Records, share: float, config: Config) -> Parts:
        """Splits a share off, so that no context is in both splits."""
        return split_connected(records, share, config.seed, ("context",))

    def divides_texts(self, config: Config) -> bool:
        """See `Recipe`."""
        return False

    # --- training ----------------------------------------------------------------------------------------------------

    def resolve(
        self, config: Config, num_examples: int, language: str, counts: Sequence[int] | None = None,
        answer_counts: Sequence[int] = (), max_tokens: int = MAX_LENGTH,
    ) -> Config:  # fmt: skip
        """Fills in every field that a config leaves open.

        Args:
            config: as `load_config` returned it.
            num_examples: number of training questions.
            language: of the texts.
            counts: tokens of each question with its context; None: lengths, model and training stay open.
            answer_counts: tokens of each answer.
            max_tokens: maximum length of the longest bucket.

        Raises:
            ConfigError: the config conflicts with a value that was filled in.
        """
        tokenizer = tokenizer_defaults(config, num_examples, language)
        update: dict[str, Any] = {"mode": self.keys.mode, "tokenizer": tokenizer}
        if config.cleaning is None:
            update["cleaning"] = [] if tokenizer.kind == "preset" else ["nfkc", "lowercase"]
        if counts is not None:
            update["lengths"] = config.lengths or choose_lengths(counts, min(max_tokens, MAX_LENGTH))
            longest = update["lengths"][-1]
            update["stride"] = min(config.stride or min(STRIDE, max(MIN_CONTEXT, longest // 3)), longest - 1)
            update["max_answer_tokens"] = config.max_answer_tokens or (covering(answer_counts) if answer_counts else 32)
            update["max_windows"] = config.max_windows or MAX_WINDOWS
            update["model"] = filled(config.model, config.model.defaults(self.keys.role, Corpus(counts)))
            update["training"] = filled(config.training, training_defaults(config, num_examples))
        return completed(config, update, self.keys)

    def begin(self, config: Config, splits: Splits, folder: Path) -> Begun:
        """See `Recipe`."""
        prepared = splits.prepared
        language = prepared.languages[0] if prepared else self.language(config, splits.train)
        config = self.resolve(config, splits.train_size, language)
        return begun(config, [language], splits, folder, lambda: (self.tokenizer(config, splits, language),) * 2)

    def encoder(self, config: Config, labels: Sequence[str], folder: Path) -> Encoder:
        """See `question_answering_prepared.features_of`."""
        tokenizer, _ = load_tokenizers(folder)
        # A context of several questions is tokenised once in each block.
        return Encoder(
            lambda records: features_of(asked_of(records, Encoded(tokenizer))), {TOKENS: tokenizer.unknown_id}
        )

    def prepare(self, config: Config, splits: Splits, folder: Path) -> Prepared:
        """See `Recipe`; `data` has the windows of the training questions, each with its targets."""
        lengths_given, prepared = config.lengths is not None, splits.prepared
        config, (language,), (tokenizer, _), _ = self.begin(config, splits, folder)
        train = stored_questions(prepared) if prepared else list(asked_of(splits.train, Encoded(tokenizer)))
        config = self._measured(config, train, tokenizer, language)
        log.info(
            "buckets: %s tokens, windows every %s; answers of up to %s; vocabulary: %s",
            config.lengths, config.stride, config.max_answer_tokens, tokenizer.vocabulary_size,
        )  # fmt: skip
        answerable = all(asked.answered for asked in train)
        task = self.task_of(config, tokenizer, language, answerable, have_whole_words(train, MAX_CUT_WORDS))
        data = {"train": _windows(task, train, config.data.misplaced_answers == "error")}
        return Prepared(config, splits, task, [language], lengths_given, data)

    def task_of(
        self, config: Config, tokenizer: Tokenizer, language: str, answerable: bool = True, whole_words: bool = False
    ) -> QuestionAnsweringTask:
        """The task of a config.

        Args:
            config: with every field filled in.
            tokenizer: of questions and contexts.
            language: of the texts.
            answerable: whether every training question has an answer.
            whole_words: an answer that would end inside a word has all of it.

        Raises:
            ConfigError: the lengths leave no room for a question and some of its context.
        """
        task = QuestionAnsweringTask(
            tokenizer, config.lengths, config.stride, config.max_answer_tokens, config.max_windows, language,
            no_answer_threshold=None if answerable else 0.5, whole_words=whole_words,
        )  # fmt: skip
        if task.max_question_tokens < 1:
            raise ConfigError(f"lengths: {task.too_short}: raise the last of lengths")
        return task

    def measured(self, config: Config, train: Records, encoded: Encoded, language: str) -> Config:
        """The config with the lengths that the tokens of the training questions need.

        Args:
            config: without lengths, or with those of the user.
            train: the training questions.
            encoded: texts to tokens.
            language: of the texts.
        """
        return self._measured(config, list(asked_of(train, encoded)), encoded.tokenizer, language)

    def _measured(self, config: Config, train: Sequence[Asked], tokenizer: Tokenizer, language: str) -> Config:
        around = special_tokens(tokenizer)
        counts = [around + len(asked.question) + len(asked.context.ids) for asked in train]
        answer_counts = [asked.span[1] - asked.span[0] + 1 for asked in train if asked.span]
        return self.resolve(config, len(train), language, counts, answer_counts, _max_tokens(config))

    def language(self, config: Config, train: Records) -> str:
        """The language of the contexts, configured or guessed."""
        return config.data.language or guess_language(record["context"] for record in train)

    def tokenizer(self, config: Config, splits: Splits, language: str) -> Tokenizer:
        """Makes the tokenizer for the questions and the contexts, each context once."""
        contexts = dict.fromkeys(record["context"] for record in splits.train)
        texts = [{"text": text} for text in [*contexts, *(record["question"] for record in splits.train)]]
        return make_tokenizer(config, texts, ("text",), language, "read")

    def profile(self, config: Config, splits: Splits) -> dict[str, Any]:
        """See `Recipe`."""
        return question_answering_profile.profile(self, config, splits)

    def sections(self, profile: dict[str, Any]) -> list[Section]:
        """See `Recipe`."""
        return question_answering_profile.sections(profile)


class Encoded:
    """Tokens of questions and contexts; a context that several questions share is tokenized once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._questions: dict[str, list[int]] = {}
        self._contexts: dict[str, Encoding] = {}

    def ids(self, question: str) -> list[int]:
        """The ids of a question."""
        if question not in self._questions:
            self._questions[question] = self.tokenizer.ids(question)
        return self._questions[question]

    def context(self, text: str) -> Encoding:
        """The ids and offsets of a context."""
        if text not in self._contexts:
            self._contexts[text] = self.tokenizer.encode(text)
        return self._contexts[text]


def answer_span(record: Mapping[str, Any], context: Encoding) -> tuple[int, int] | None:
    """The first and the last token of the first answer that stands in the context; None if there is none.

    Args:
        record: with `answers`.
        context: its tokens.
    """
    for answer in record["answers"]:
        if answer["start"] is None:
            continue
        start, end = answer["start"], answer["start"] + len(answer["text"])
        inside = [index for index, (first, last) in enumerate(context.offsets) if max(first, start) < min(last, end)]
        if inside:
            return inside[0], inside[-1]
    return None


def training_windows(task: QuestionAnsweringTask, records: Records, encoded: Encoded, strict: bool = False) -> Labelled:
    """The windows of all questions; the targets are int32 `[windows, 4]`: the positions of the first and the last token
    of the answer (of no answer, if it is not inside), and where the tokens of the context begin and end.

    A question is dropped, with a warning, if none of the tokens are of its answer, as when cleaning removed it.

    Args:
        task: with its lengths.
        records: the training questions.
        encoded: texts to tokens.
        strict: raise an error instead of dropping a question.

    Raises:
        DataError: a question has to be dropped although `strict`, or none is left.
    """
    return _windows(task, asked_of(records, encoded), strict)


def asked_of(records: Iterable[Mapping[str, Any]], encoded: Encoded) -> Iterator[Asked]:
    """Training questions as tokens.

    Args:
        records: the questions.
        encoded: texts to tokens.
    """
    for record in records:
        question, context = encoded.ids(record["question"]), encoded.context(record["context"])
        places = [
            (each["start"], each["start"] + len(each["text"]))
            for each in record["answers"]
            if each["start"] is not None
        ]
        cut = sum(any(inside_word(record["context"], place) for place in ends) for ends in places)
        span, answered = answer_span(record, context), bool(record["answers"])
        text = record["answers"][0]["text"][:60] if answered else ""
        yield Asked(question, context, span, answered, len(places), cut, record["where"], text)


def _windows(task: QuestionAnsweringTask, train: Iterable[Asked], strict: bool) -> Labelled:
    features: dict[str, list[np.ndarray]] = {name: [] for name in task.feature_names}
    targets, long_questions, dropped = [], 0, []
    for asked in train:
        if asked.span is None and asked.answered:
            answer = f"the answer {asked.text!r}" if asked.text else "the answer"
            dropped.append(f"{asked.where}: cleaning leaves no token of {answer}")
            continue
        if len(asked.question) > task.max_question_tokens:
            long_questions += 1
        reading = task.read(asked.question, asked.context)
        targets += window_targets(task, reading, asked.span)
        for request in reading.requests:
            for name, rows in features.items():
                rows.append(np.asarray(request.features[name], np.int32))
    if dropped and (strict or not targets):
        raise DataError(f"{dropped[0]}: leave a step out of cleaning, or delete the question")
    if dropped:
        log.warning("dropped %d training questions, such as %s", len(dropped), "; ".join(dropped[:3]))
    if long_questions:
        log.warning("%d training questions are longer than the window and were cut: raise lengths", long_questions)
    return Labelled(features, np.array(targets, np.int32))


def window_targets(
    task: QuestionAnsweringTask, reading: Reading, span: tuple[int, int] | None
) -> Iterator[tuple[int, int, int, int]]:
    """The targets of each window, see `training_windows`.

    Args:
        task: knows the position of no answer.
        reading: the windows.
        span: the first and the last token of the answer; None: there is none.
    """
    for start, end in reading.windows:
        first, last = (span[0] - start, span[1] - start) if span else (-1, -1)
        inside = first >= 0 and last < end - start
        null = task.null(reading.first)
        one, other = (reading.first + first, reading.first + last) if inside else (null, null)
        yield one, other, reading.first, reading.first + end - start


def _max_tokens(config: Config) -> int:
    """Maximum length of the longest bucket; a preset may have a limit."""
    if not config.model.pretrained:
        return MAX_LENGTH
    from textapp.models.preset import facts

    return min(MAX_LENGTH, facts(config.model.path).max_length or MAX_LENGTH)
