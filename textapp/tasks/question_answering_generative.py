"""Question answering in writing: a question, with a context or without -> an answer in words of the model's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from textapp.errors import DataError, UsageError, is_blank
from textapp.tasks.generative import PAIRS, GenerativeTask, RankedAnswer
from textapp.tasks.question_answering import MIN_CONTEXT, answer_languages, asked, references, worst_answers
from textapp.tasks.task import Listing, Record, one_line
from textapp.tasks.translation import TranslationTask, framed
from textapp.text.cutting import beginning
from textapp.untrusted import LENGTHS, TEXT, key, list_of, shown

if TYPE_CHECKING:
    from textapp.runners.runner import Outputs
    from textapp.text.cutting import Part
    from textapp.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class WrittenAlternative:
    """A possible answer; the attributes are those of `WrittenAnswer`."""

    answer: str
    score: float


@dataclass(frozen=True)
class WrittenAnswer:
    """The answer to one question, as the model wrote it.

    Attributes:
        id: of the question, if the data have one.
        question: the question.
        answer: the answer; empty if the model wrote none.
        score: the probability of the answer, the product of those of its tokens, 0 to 1.
        alternatives: the hypotheses of a beam, the best first, if more than one was asked for.
    """

    id: str | None
    question: str
    answer: str
    score: float
    alternatives: tuple[WrittenAlternative, ...] = ()

    @property
    def input(self) -> str:
        """The question."""
        return self.question

    @property
    def output(self) -> str:
        """The answer."""
        return self.answer

    def __str__(self) -> str:
        return f"{self.answer.strip() or 'no answer'} ({self.score:.2f})"

    def line(self) -> str:
        """`answer score question`, separated by tabs; then a line for each further hypothesis."""
        lines = [f"{one_line(self.answer, 1000) or '-'}\t{self.score:.3f}\t{one_line(self.question, 100)}"]
        lines += [f"{one_line(other.answer, 1000)}\t{other.score:.3f}" for other in self.alternatives[1:]]
        return "\n".join(lines)

    def changed(self, change: Callable[[str], str]) -> WrittenAnswer:
        """See `Generated`."""
        alternatives = tuple(replace(other, answer=change(other.answer)) for other in self.alternatives)
        return replace(self, answer=change(self.answer), alternatives=alternatives)


class AnswerWriter(GenerativeTask):
    """What tasks that write answers have in common, for a base class that says what the model reads.

    Attributes:
        language: of the texts, for the figures.
    """

    name = "question_answering"
    measures = {"exact_match": "EM", "f1": "F1", "bleu": "BLEU", "rougeL": "ROUGE-L", "perplexity": "perplexity"}
    fields: tuple[str, ...] = ("question", "context")
    input_field, target_field = "question", "answer"
    optional = ("context",)
    language: str

    def record(self, question: Any = None, context: Any = None) -> Record:
        """Makes a record from a question and its context, if there is one, also as a pair, or from a record.

        Raises:
            UsageError: it is none of these.
        """
        record = asked(question, context)
        record["context"] = "" if record.get("context") is None else record["context"]
        for field in self.fields:
            if not isinstance(record.get(field), str):
                raise UsageError(
                    f"found the {field} {shown(record.get(field))}, expected a question, and its context if there is"
                    f" one: predictor('Who wrote it?', 'Ada wrote it.')"
                )
        return record

    def check(self, record: Record) -> None:
        """Checks that there is a question, and that it leaves room for its context.

        Raises:
            DataError: one of these is not so, or the context is too long and `overflow` is `error`.
        """
        if is_blank(record["question"]):
            raise DataError("the question is empty: expected a question")
        question, context = self._parts(record)
        limit = self.max_tokens - len(self._read([], context.ids[:MIN_CONTEXT]))
        count = f"{'' if question.whole else 'over '}{len(question.ids)}"
        if context.ids and len(question.ids) > limit and limit < MIN_CONTEXT:
            raise DataError(
                f"the question has {count} tokens, and the model reads {self.max_tokens} of question and context"
                f" together: leave the context out, or train with contexts"
            )
        if len(question.ids) > limit:
            raise DataError(f"the question has {count} tokens, expected at most {limit}: shorten it")
        super().check(record)

    def features(self, record: Record) -> dict[str, Any]:
        """What the model reads, not padded: the question and the context, which is cut at its end to fit.

        Raises:
            DataError: it does not fit, and `overflow` is `error`.
        """
        question, context = self._parts(record)
        ids = self._read(question.ids, context.ids)
        whole = question.whole and context.whole
        context_is_cut = record.get("context") and len(question.ids) < self.max_tokens
        self._check_length(record["context" if context_is_cut else "question"], len(ids), "start", whole)
        return self.features_of(self._fitted(ids, len(question.ids)))

    def _parts(self, record: Record) -> list[Part]:
        """The question and the context; of a long text only as much as is read, and some more."""
        parts = [beginning(self.tokenizer, text, self.max_tokens) for text in self._texts(record)]
        for part in parts:
            self._check_known(part)
        return parts

    def _texts(self, record: Record) -> tuple[str, str]:
        """The question and the context as they are tokenized."""
        return record["question"], record.get("context") or ""

    def _read(self, question: Sequence[int], context: Sequence[int]) -> list[int]:
        """The ids that the model reads, with special tokens."""
        raise NotImplementedError

    def _fitted(self, ids: list[int], question: int) -> list[int]:
        """These ids without the end of the context, if they are too many.

        Args:
            ids: as `_read` returned them.
            question: how many of them are those of the question.
        """
        raise NotImplementedError

    def queries(self, records: Sequence[Record], max_count: int) -> list[Record]:
        """The records themselves."""
        return list(records)

    def answer(self, record: Record, outputs: Sequence[Outputs]) -> WrittenAnswer:
        """See `GenerativeTask`; the logarithms of probabilities become probabilities. A blank question has none."""
        if not record["question"].strip():
            return WrittenAnswer(record.get("id"), record["question"], "", 0.0)
        found = super().answer(record, outputs)
        ranked = found.outputs if isinstance(found, RankedAnswer) else []
        others = tuple(WrittenAlternative(each["output"], _probability(each["score"])) for each in ranked)
        return WrittenAnswer(record.get("id"), record["question"], found.output, _probability(found.score), others)

    def score(self, records: Sequence[Record], answers: Sequence[Any]) -> dict[str, Any]:
        """Exact match, F1, BLEU and ROUGE, 0 to 100; the first two also by group, see `grouped_scores`."""
        from textapp.metrics.question_answering import written_answer_scores

        questions, contexts = ([record.get(field) or "" for record in records] for field in self.fields)
        texts, right = [answer.answer for answer in answers], [references(record) for record in records]
        languages = answer_languages(records, self.language)
        return written_answer_scores(texts, right, languages, questions, contexts)

    def intervals(self, records: Sequence[Record], answers: Sequence[Any]) -> dict[str, list[float]]:
        """Those of exact match, F1, BLEU and ROUGE."""
        from textapp.metrics.question_answering import written_answer_intervals

        texts, right = [answer.answer for answer in answers], [references(record) for record in records]
        return written_answer_intervals(texts, right, answer_languages(records, self.language))

    def listing(self, records: Sequence[Record], answers: Sequence[Any]) -> Listing:
        """See `worst_answers`."""
        return worst_answers(records, answers, self.language)


class WrittenAnswersTask(AnswerWriter, TranslationTask):
    """Translates a question and its context into the answer: `question separator context end`.

    Args:
        tokenizer: of questions and contexts.
        target_tokenizer: of answers; the same one.
        lengths: the buckets in tokens of a question with its context, ascending.
        generate_lengths: `(source, new)` tokens of each signature; empty before they are known.
        language: of the texts, for the figures.
        overflow: for a context that does not fit: `truncate` it at its end, with a warning, or report an `error`.

    Example:
        task = WrittenAnswersTask(tokenizer, tokenizer, [64, 128], [(64, 16), (128, 16)])
        task.features({"question": "Who wrote it?", "context": "Ada wrote it."})     # {"token_ids": [..., 3]}
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        lengths: Sequence[int],
        generate_lengths: Sequence[Sequence[int]] = (),
        language: str = "en",
        overflow: str = "truncate",
    ) -> None:
        super().__init__(tokenizer, target_tokenizer, lengths, generate_lengths, language, language, overflow)
        self.language = language

    @classmethod
    def from_manifest(
        cls, manifest: Mapping[str, Any], tokenizers: tuple[Tokenizer, Tokenizer], **options: Any
    ) -> WrittenAnswersTask:
        """See `Task`."""
        return cls(
            *tokenizers,
            lengths=key(manifest, "lengths", LENGTHS),
            generate_lengths=key(manifest, "generate_lengths", PAIRS),
            language=key(manifest, "languages", list_of(TEXT, at_least=1))[0],
            **options,
        )

    def _read(self, question: Sequence[int], context: Sequence[int]) -> list[int]:
        return joined(self.tokenizer, question, context)

    def _fitted(self, ids: list[int], question: int) -> list[int]:
        return shortened(ids, self.max_tokens)


def joined(tokenizer: Tokenizer, question: Sequence[int], context: Sequence[int]) -> list[int]:
    """What the encoder reads: `question separator context end`, without a context `question end`.

    The separator is the one that the tokenizer puts between two texts, else its end id.

    Args:
        tokenizer: with its special tokens.
        question: ids.
        context: ids; empty if there is none.

    Example: `[7, 8]` and `[9]` become `[0, 7, 8, 2, 2, 9, 2]` for BART, `[7, 8, 3, 9, 3]` for tokenizers trained here.
    """
    separator = (tokenizer.template.middle or (tokenizer.end_id,)) if len(context) else ()
    return framed(tokenizer, [*question, *separator, *context])


def shortened(ids: list[int], length: int) -> list[int]:
    """At most `length` ids; the last one, the end id, stays."""
    return ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]


def _probability(score: float | None) -> float:
    return 0.0 if score is None else math.exp(min(0.0, score))
