"""Question answering by a language model: a context and a question are a prompt, and the answer goes on from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textapp.tasks.generation import GenerationTask
from textapp.tasks.question_answering_generative import AnswerWriter
from textapp.tasks.task import Record

if TYPE_CHECKING:
    from textapp.decoding.scoring import Window
    from textapp.text.tokenizer import Tokenizer

MARK = "\nAnswer:"


class PromptedAnswersTask(AnswerWriter, GenerationTask):
    """Continues a context and a question by the answer: `start context "\\nQuestion: ...\\nAnswer:"`.

    The question stands behind the context, next to its answer, and a long context is cut before it. An answer is one
    line: what a language model writes behind it, such as a further question, is not part of it.

    Args:
        tokenizer: of all texts.
        lengths: the last one is the context of the model, the maximum number of tokens of prompt and answer together.
        generate_lengths: `(prompt, new)` tokens of each signature; empty before they are known.
        language: of the texts, for the figures.
        running_text: False, as a question with its answer is a document.
        overflow: for a context that does not fit: `truncate` it at its end, with a warning, or report an `error`.

    Example:
        task = PromptedAnswersTask(tokenizer, [144], [(64, 16), (128, 16)])
        task.features({"question": "Who wrote it?", "context": "Ada wrote it."})
        # {"token_ids": [2, ...], "num_tokens": 15}, the ids of "Ada wrote it.\\nQuestion: Who wrote it?\\nAnswer:"
    """

    text_measures: tuple[str, ...] = ("perplexity", "loss")
    converses = False
    one_line = True

    def _texts(self, record: Record) -> tuple[str, str]:
        context = context_of(record)
        return asking(record["question"], bool(context)), context

    def _read(self, question: Sequence[int], context: Sequence[int]) -> list[int]:
        return [self.start_id, *context, *question]

    def _fitted(self, ids: list[int], question: int) -> list[int]:
        return without_middle(ids, question, self.max_tokens)

    def windows(self, owner: int, record: Record) -> tuple[list[Window], int]:
        """One window: the answer after its prompt, as far as it fits the context."""
        from textapp.decoding.scoring import Window

        prompt, answer = self.features(record)["token_ids"], self.reference_ids(record)
        targets = [*prompt[1:], *answer][: self.lengths[-1]]
        read = [*prompt, *answer][: len(targets)]
        return [Window(owner, [], read, targets, len(prompt) - 1)], len(record[self.target_field])

    def reference_ids(self, record: Record) -> list[int]:
        """The ids of the answer and the end id."""
        answer = record.get(self.target_field) or ""
        return [*behind_mark(self.tokenizer, self.tokenizer.ids(written(answer)), answer), self.end_id]

    def target_ids(self, record: Record) -> list[int]:
        """The ids of the answer, without the end id."""
        return self.reference_ids(record)[:-1]

    def generated_text(self, record: Record, token_ids: Sequence[int]) -> str:
        """The first line that the model wrote."""
        return self.decode(token_ids).strip().partition("\n")[0].rstrip()


def context_of(record: Record) -> str:
    """The context of a record; empty if it is missing or blank."""
    context = record.get("context") or ""
    return context if context.strip() else ""


def asking(question: str, after_context: bool) -> str:
    """The text between the context and the answer.

    Args:
        question: the question.
        after_context: whether there is a context before it.

    Example: `asking("Who wrote it?", True)` is `"\\nQuestion: Who wrote it?\\nAnswer:"`.
    """
    newline = "\n" if after_context else ""
    return f"{newline}Question: {question.strip()}{MARK}"


def written(answer: str) -> str:
    """The answer behind the mark, on one line: a piece of text whose tokens are those of the answer in its prompt."""
    return f"{MARK} {' '.join(answer.split())}"


def behind_mark(tokenizer: Tokenizer, ids: Sequence[int], answer: str) -> list[int]:
    """The ids of an answer.

    Args:
        tokenizer: of these ids.
        ids: of `written(answer)`.
        answer: for a tokenizer that joins the mark and the answer: then it is tokenized by itself.
    """
    mark = tokenizer.ids(MARK)
    if list(ids[: len(mark)]) == mark:
        return list(ids[len(mark) :])
    return tokenizer.ids(f" {' '.join(answer.split())}")


def without_middle(ids: Sequence[int], kept: int, length: int) -> list[int]:
    """At most `length` ids: the last `kept` ones, the question, and the first ones.

    Args:
        ids: of a prompt.
        kept: ids at its end to be kept, as far as they leave room for the start id.
        length: maximum number.

    Example: `without_middle([2, 7, 8, 9, 5, 6], 2, 4)` is `[2, 7, 5, 6]`.
    """
    if len(ids) <= length:
        return list(ids)
    kept = min(kept, length - 1)
    return [*ids[: length - kept], *ids[len(ids) - kept :]]
