"""Answers that keep to a form, a regular expression or a JSON schema, for the tokenizer and the task of a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from textapp.decoding.grammars import Frame, Grammar, Vocabulary
from textapp.decoding.options import Form
from textapp.errors import DataError
from textapp.text.piece_bytes import checked_piece_bytes
from textapp.untrusted import shown

if TYPE_CHECKING:
    from textapp.tasks.generative import GenerativeTask

_KEPT = 16  # compiled grammars


class Forms:
    """Makes the grammars of a model. What is slow, reading its vocabulary and compiling a form, is kept.

    Args:
        task: of the model.
    """

    def __init__(self, task: GenerativeTask) -> None:
        self._task = task
        self._grammars: dict[tuple[Form, Frame], Grammar] = {}
        self._lock = threading.Lock()

    def grammar(self, form: Form, text_of: Callable[[Sequence[int]], str]) -> Grammar:
        """What constrains one answer.

        Args:
            form: what it has to look like.
            text_of: from new token ids to the text of the answer.

        Raises:
            OptionError: the model cannot write a text of this form.
            UsageError: its tokenizer has pieces without a text of their own, or llguidance is not installed.
        """
        blank = self._vocabulary.blank_first
        drops_blank = bool(blank) and not text_of(blank).startswith(" ")
        key = form, Frame(drops_blank, self._task.one_line)
        grammar = self._grammars.get(key)
        if grammar is None:
            grammar = Grammar(self._vocabulary, *key)
            with self._lock:  # other threads may keep theirs, and drop this one, at any time
                while len(self._grammars) >= _KEPT:
                    del self._grammars[next(iter(self._grammars))]
                self._grammars[key] = grammar
        return grammar.fresh()

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        tokenizer = self._task.target_tokenizer
        pieces = checked_piece_bytes(tokenizer)
        for token_id in tokenizer.never_ids:
            pieces[token_id] = b""
        return Vocabulary(pieces, self._task.end_ids)


def unfinished(form: Form, asked: str, text: str, count: int, limit: int) -> DataError:
    """The error of an answer that does not have its form.

    Args:
        form: what it has to look like.
        asked: the text that was to be answered.
        text: the answer.
        count: number of tokens of the answer.
        limit: maximum number.
    """
    start = f"{form.kind}: the answer to {shown(asked)}"
    if count and not text and not asked.strip():  # a translator leaves it as it is, whatever was written
        return DataError(f"{start}, a blank text, is empty, which {form.kind} does not allow: leave the text out")
    if count >= limit:
        return DataError(f"{start} was cut off after {limit} tokens, before it was complete: raise max_new_tokens")
    return DataError(
        f"{start} ended after {count} tokens, before it was complete, as the model's vocabulary cannot go on from "
        "there: describe simpler texts, in the characters of those that it was trained on"
    )
