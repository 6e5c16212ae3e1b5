"""Question answering: a question and a context -> the part of the context that answers it, or none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from textapp.errors import ArtifactError, DataError, UsageError, is_blank
from textapp.predictors.predictor import Predictor
from textapp.predictors.requests import Request
from textapp.runners.pool import check_count
from textapp.tasks.spans import best_spans, windows
from textapp.tasks.task import Listing, Record, Task, expect_shape, one_line, probability, smallest
from textapp.tasks.warned import Warned
from textapp.text.words import inside_character, inside_word
from textapp.untrusted import FLAG, LENGTHS, MAX_LENGTH, NOTHING, SHARE, TEXT, either, key, list_of, shown, whole

if TYPE_CHECKING:
    from textapp.runners.flatfile import SignatureShapes
    from textapp.runners.runner import Outputs, Runner
    from textapp.text.base import Encoding
    from textapp.text.tokenizer import Tokenizer

START, END = "start_logits", "end_logits"
MIN_CONTEXT = 8  # tokens of a context that a question has to leave room for
MAX_WORST = 20
MAX_ANSWERS = 100
# Share of a context from which on its answers are compared by character. Of SQuAD's contexts none has over 0.15, of
# CMRC 2018's none under 0.44.
_LOGOGRAPHIC = 0.3
_SPARE = 4  # further spans of each window, as some have no text or repeat those of another window


@dataclass(frozen=True)
class Alternative:
    """A possible answer; the attributes are those of `QuestionAnswer`."""

    answer: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class QuestionAnswer:
    """The answer to one question.

    Attributes:
        id: of the question, if the data have one.
        question: the question.
        answer: a slice of the context, `context[start:end]`; empty if the context does not answer the question.
        start, end: the slice, in characters; None without an answer.
        score: how much more likely the best span is than no answer, 0 to 1.
        alternatives: the best spans, the best first, if more than one was asked for.
    """

    id: str | None
    question: str
    answer: str
    start: int | None
    end: int | None
    score: float
    alternatives: tuple[Alternative, ...] = ()

    def __str__(self) -> str:
        return f"{self.answer or 'no answer'} ({self.score:.2f})"

    def line(self) -> str:
        """`answer score question`, separated by tabs; then a line for each further alternative."""
        lines = [f"{one_line(self.answer, 100) or '-'}\t{self.score:.3f}\t{one_line(self.question, 100)}"]
        lines += [f"{one_line(other.answer, 100)}\t{other.score:.3f}" for other in self.alternatives[1:]]
        return "\n".join(lines)


class Reading(NamedTuple):
    """The requests for a question, and where their tokens are in the context.

    Attributes:
        requests: one a window; none if the context has no tokens.
        windows: `[start, end)` of each, in tokens of the context.
        first: index of a window's first context token in its request.
        offsets: of each token of the context, `[start, end)` in characters.
    """

    requests: list[Request]
    windows: list[tuple[int, int]]
    first: int
    offsets: list[tuple[int, int]]


class Question(dict):
    """A record that keeps its `Reading`, which the requests and the answer both need."""

    reading: Reading | None = None


class QuestionAnsweringTask(Task):
    """Reads a context through windows, and finds the best span over all of them.

    Args:
        tokenizer: converts text to ids.
        lengths: the buckets, in tokens of question and context together, ascending.
        stride: tokens of the context from one window to the next.
        max_answer_tokens: maximum number of tokens of an answer.
        max_windows: maximum number of windows of one context; what lies behind them is not read, which is logged.
        language: of the texts, for exact match and F1.
        no_answer_threshold: minimum score, 0 to 1, below which a question has no answer; None: every question has one.
        num_answers: number of alternatives to return.
        whole_words: an answer that would end inside a word has all of it.
    """

    name = "question_answering"
    options = ("no_answer_threshold", "num_answers")
    measures = {"exact_match": "EM", "f1": "F1"}
    fields: tuple[str, ...] = ("question", "context")

    def __init__(
        self,
        tokenizer: Tokenizer,
        lengths: Sequence[int],
        stride: int,
        max_answer_tokens: int,
        max_windows: int,
        language: str,
        no_answer_threshold: float | None = None,
        num_answers: int = 1,
        whole_words: bool = False,
    ) -> None:
        no_answer_threshold = probability("no_answer_threshold", no_answer_threshold)
        num_answers = check_count("num_answers", num_answers, MAX_ANSWERS)
        self.tokenizer = tokenizer
        self.lengths = list(lengths)
        self.stride, self.max_answer_tokens, self.max_windows = stride, max_answer_tokens, max_windows
        self.language = language
        self.no_answer_threshold, self.num_answers = no_answer_threshold, num_answers
        self.whole_words = whole_words
        self._warned = Warned()
        self.signatures = [(f"answer_{length}", length) for length in self.lengths]

    @classmethod
    def from_manifest(
        cls, manifest: Mapping[str, Any], tokenizers: tuple[Tokenizer, Tokenizer], **options: Any
    ) -> QuestionAnsweringTask:
        """See `Task`; the threshold is that of the manifest unless `options` has one."""
        task = cls(
            tokenizers[0],
            lengths=key(manifest, "lengths", LENGTHS),
            stride=key(manifest, "stride", whole(1)),
            max_answer_tokens=key(manifest, "max_answer_tokens", whole(1, MAX_LENGTH)),
            max_windows=key(manifest, "max_windows", whole(1)),
            language=key(manifest, "languages", list_of(TEXT, at_least=1))[0],
            whole_words="whole_words" in manifest and key(manifest, "whole_words", FLAG),
            **{"no_answer_threshold": key(manifest, "no_answer_threshold", either(SHARE, NOTHING)), **options},
        )
        if task.max_question_tokens < 1:
            raise ArtifactError(f"manifest.json: lengths: {task.too_short}")
        return task

    def check_model(self, shapes: Mapping[str, SignatureShapes]) -> None:
        """See `Task`."""
        for name, length in self.signatures:
            for feature in self.feature_names:
                expect_shape(shapes[name].inputs, feature, (1, length), name, "lengths and features")
            for part in (START, END):
                expect_shape(shapes[name].outputs, part, (1, length), name, "lengths")

    @property
    def feature_names(self) -> list[str]:
        """The inputs of the model; segments are 0 in the question and 1 in the context."""
        return ["token_ids", "segment_ids"]

    def changed(self, **changes: Any) -> QuestionAnsweringTask:
        """The same task with other lengths, or another threshold."""
        same = {
            name: getattr(self, name)
            for name in (
                "tokenizer", "lengths", "stride", "max_answer_tokens", "max_windows", "language",
                "no_answer_threshold", "num_answers", "whole_words",
            )
        }  # fmt: skip
        return QuestionAnsweringTask(**{**same, **changes})

    def predictor(self, runner: Runner, manifest: Mapping[str, Any], path: Path, workers: int = 1) -> Predictor:
        """See `Task`."""
        return Predictor(self, runner, manifest, path, workers)

    def record(self, question: Any = None, context: Any = None) -> Question:
        """Makes a record from a question and its context, also as a pair, or from a record.

        Raises:
            UsageError: it is none of these.
        """
        if isinstance(question, Question) and context is None:
            return question
        record = Question(asked(question, context))
        for field in self.fields:
            if not isinstance(record.get(field), str):
                raise UsageError(
                    f"found the {field} {shown(record.get(field))}, expected a question and its context:"
                    f" predictor('Who wrote it?', 'Ada wrote it.')"
                )
        return record

    def check(self, record: Record) -> None:
        """Checks that there is a question, that it leaves room for a context, and that there is a context.

        Raises:
            DataError: one of these is not so.
        """
        for field in self.fields:
            if is_blank(record[field]):
                raise DataError(f"the {field} is empty: expected a question and the text to find its answer in")
        count = len(self.tokenizer.ids(record["question"]))
        if count > self.max_question_tokens:
            raise DataError(f"the question has {count} tokens, expected at most {self.max_question_tokens}: shorten it")

    @property
    def max_question_tokens(self) -> int:
        """Tokens of a question that leave room for some of its context."""
        return self.lengths[-1] - special_tokens(self.tokenizer) - MIN_CONTEXT

    @property
    def too_short(self) -> str:
        """What is wrong with lengths that leave no room for a question."""
        least = self.lengths[-1] - self.max_question_tokens + 1
        return f"found {self.lengths[-1]} as the longest, expected at least {least}, for a question and some context"

    def null(self, first: int) -> int:
        """The position whose logits stand for no answer: the start token, else the one before the context."""
        return 0 if self.tokenizer.template.start else first - 1

    def requests(self, record: Record) -> list[Request]:
        """A request for each window: `answer_<length>`."""
        return self.reading(record).requests

    def reading(self, record: Record) -> Reading:
        """The requests of a question and the places of their tokens."""
        if not isinstance(record, Question):
            return self._read(record)
        if record.reading is None:
            record.reading = self._read(record)
        return record.reading

    def _read(self, record: Record) -> Reading:
        if is_blank(record["question"]):
            return Reading([], [], 0, [])
        ids, context = self.tokenizer.ids(record["question"]), self.tokenizer.encode(record["context"])
        reading = self.read(ids, context)
        if len(ids) > self.max_question_tokens:
            self._warned.warn(
                "too long", record["question"],
                f"a question of {len(ids)} tokens is too long; its first {self.max_question_tokens} are read: shorten"
                " it, or train with a higher last of lengths",
            )  # fmt: skip
        if reading.windows and reading.windows[-1][1] < len(context.ids):
            self._warned.warn(
                "longer than max_windows", record["context"],
                f"a context of {len(context.ids):,} tokens is read up to token {reading.windows[-1][1]:,}, with"
                f" {self.max_windows} windows: textapp ask --documents FILE finds the passages of a long text",
            )  # fmt: skip
        return reading

    def read(self, question: list[int], context: Encoding) -> Reading:
        """Puts a question before each window of a context.

        What lies beyond `max_question_tokens` or `max_windows` is not read.

        Args:
            question: its token ids.
            context: its token ids and their offsets.
        """
        question = question[: self.max_question_tokens]
        template = self.tokenizer.template
        room = self.lengths[-1] - len(question) - special_tokens(self.tokenizer)
        before = [*template.start, *question, *template.middle]
        spans = windows(len(context.ids), room, self.stride)[: self.max_windows] if context.ids else []
        requests = []
        for start, end in spans:
            ids = [*before, *context.ids[start:end], *template.end]
            features = {"token_ids": ids, "segment_ids": [0] * len(before) + [1] * (len(ids) - len(before))}
            requests.append(Request(*smallest(self.signatures, len(ids)), features))
        return Reading(requests, spans, len(before), context.offsets)

    def answer(self, record: Record, outputs: Sequence[Outputs]) -> QuestionAnswer:
        """The best span over all windows, from their `start_logits` and `end_logits` `[length]`."""
        found = self.alternatives(record, outputs)
        best = found[0] if found else None
        answered = best is not None and (self.no_answer_threshold is None or best.score >= self.no_answer_threshold)
        return QuestionAnswer(
            record.get("id"),
            record["question"],
            best.answer if best and answered else "",
            best.start if best and answered else None,
            best.end if best and answered else None,
            best.score if best else 0.0,
            tuple(found) if self.num_answers > 1 else (),
        )

    def alternatives(self, record: Record, outputs: Sequence[Outputs]) -> list[Alternative]:
        """The best spans, at most `num_answers`, the best first."""
        reading = self.reading(record)
        null, spans, first = math.inf, [], reading.first
        count = self.num_answers + _SPARE
        for (start, end), output in zip(reading.windows, outputs, strict=True):
            starts, ends, nothing = output[START], output[END], self.null(first)
            null = min(null, float(starts[nothing]) + float(ends[nothing]))
            part = slice(first, first + end - start)
            spans += [
                (span.score, start + span.first, start + span.last)
                for span in best_spans(starts[part], ends[part], self.max_answer_tokens, count)
            ]
        spans.sort(key=lambda span: -span[0])
        found: dict[tuple[int, int], Alternative] = {}
        for score, one, other in spans:
            text_span = self._text_span(record["context"], reading.offsets[one][0], reading.offsets[other][1])
            if text_span[0] < text_span[1] and text_span not in found:
                found[text_span] = Alternative(
                    record["context"][slice(*text_span)], *text_span, _probability(score - null)
                )
            if len(found) == self.num_answers:
                break
        return list(found.values())

    def _text_span(self, text: str, start: int, end: int) -> tuple[int, int]:
        """The range without whitespace at its ends, and with the rest of the characters, or words, that it cuts."""
        part = text[start:end]
        start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
        if start < end:
            inside = inside_word if self.whole_words else inside_character
            while inside(text, start):
                start -= 1
            while inside(text, end):
                end += 1
        return start, end

    def queries(self, records: Sequence[Record], max_count: int) -> list[Record]:
        """The records themselves."""
        return list(records)

    def score(self, records: Sequence[Record], answers: Sequence[QuestionAnswer]) -> dict[str, Any]:
        """Exact match and F1, 0 to 100, also by length of the context and by first word of the question."""
        from textapp.metrics.question_answering import question_answering_scores

        texts, right = [answer.answer for answer in answers], [references(record) for record in records]
        questions, contexts = ([record[field] for record in records] for field in self.fields)
        languages = answer_languages(records, self.language)
        return question_answering_scores(texts, right, languages, questions, contexts)

    def intervals(self, records: Sequence[Record], answers: Sequence[QuestionAnswer]) -> dict[str, list[float]]:
        """Those of exact match and F1."""
        from textapp.metrics.question_answering import answer_intervals

        texts, right = [answer.answer for answer in answers], [references(record) for record in records]
        return answer_intervals(texts, right, answer_languages(records, self.language))

    def listing(self, records: Sequence[Record], answers: Sequence[QuestionAnswer]) -> Listing:
        """See `worst_answers`."""
        return worst_answers(records, answers, self.language)


def asked(question: Any, context: Any) -> dict[str, Any]:
    """The record of a question and its context, which may also come as a pair, or as a record, in the first place.

    Args:
        question: a text, a pair, or a record.
        context: a text; None: there is none, or it is in the pair or the record.
    """
    if isinstance(question, Mapping) and context is None:
        return dict(question)
    if isinstance(question, (list, tuple)) and len(question) == 2 and context is None:
        question, context = question
    return {"question": question, "context": context}


def worst_answers(records: Sequence[Record], answers: Sequence[Any], language: str) -> Listing:
    """The worst answers: those with the lowest F1, the surest first.

    Args:
        records: with their right answers.
        answers: with `answer` and `score`, 0 to 1.
        language: of the model, see `answer_languages`.
    """
    from textapp.metrics.question_answering import answer_scores

    _, overlap = answer_scores(
        [answer.answer for answer in answers], [references(record) for record in records],
        answer_languages(records, language),
    )  # fmt: skip
    order = sorted(range(len(answers)), key=lambda index: (overlap[index], -answers[index].score))[:MAX_WORST]
    rows = [
        {
            "question": records[index]["question"],
            "expected": " | ".join(dict.fromkeys(references(records[index]))) or "-",
            "answer": answers[index].answer or "-",
            "score": round(answers[index].score, 3),
            "f1": round(100 * float(overlap[index]), 1),
        }
        for index in order
        if overlap[index] < 1
    ]
    return Listing("answers", "the worst answers", ("question", "expected", "answer", "score", "f1"), rows)


def special_tokens(tokenizer: Tokenizer) -> int:
    """The number of special tokens around and between a question and its context."""
    template = tokenizer.template
    return len(template.start) + len(template.middle) + len(template.end)


def references(record: Record) -> list[str]:
    """The right answers of a record; none if its question has no answer."""
    return [answer["text"] for answer in record["answers"]]


def answer_languages(records: Sequence[Record], language: str) -> list[str]:
    """The language whose exact match and F1 count for each answer, by the script of its context.

    So a model of one language can be measured on others. A context in Chinese characters or kana is `zh` unless the
    model is of Chinese or Japanese; any other is `en` if the model is.

    Args:
        records: with `context`, or with a question alone.
        language: of the model; it counts for texts without letters.

    Example: for a model of `en`, `[{"context": "他住在巴黎。"}, {"context": "He lives in Paris."}]` are `zh` and `en`.
    """
    from textapp.languages import logographic  # here, as a device that only answers has no use for them
    from textapp.text.language import logographic_share

    scripts: dict[str, str] = {}
    found = []
    for record in records:
        text = record.get("context") or record["question"]
        if text not in scripts:
            share = logographic_share([text])
            fits = share is None or logographic(language) == (share > _LOGOGRAPHIC)
            scripts[text] = language if fits else "en" if logographic(language) else "zh"
        found.append(scripts[text])
    return found


def _probability(margin: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, margin)))
