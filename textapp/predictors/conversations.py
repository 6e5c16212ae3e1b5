"""Conversations with their answers, from which a language model learns: token ids, and which of them it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from textapp.errors import DataError
from textapp.predictors.chat import GUARD, guarded
from textapp.records.messages import ASSISTANT, SYSTEM, USER, Message

if TYPE_CHECKING:
    from textapp.text.chat import ChatTemplate
    from textapp.text.tokenizer import Tokenizer

# Around each answer while the template is rendered; no text of people has these characters.
_OPEN, _CLOSE = "\ufdd1", "\ufdd2"
_PROBE = [{"role": USER, "content": "a"}, {"role": ASSISTANT, "content": "b"}]


class Turns(NamedTuple):
    """A conversation, as the model reads it.

    Attributes:
        ids: the token ids of all messages, as the chat template writes them.
        answers: for each answer of the assistant the first of its tokens and the one behind its last, which is the
            token that ends it.
    """

    ids: list[int]
    answers: list[tuple[int, int]]

    def first(self, count: int) -> Turns:
        """The first tokens, with what is left of the answers."""
        kept = [(start, min(end, count)) for start, end in self.answers if start < count]
        return Turns(self.ids[:count], kept)


class ConversationReader:
    """Turns conversations into token ids, and knows which of them are the assistant's.

    Args:
        tokenizer: of the model.
        template: of the model.

    Attributes:
        end_id: of the token that the template writes behind an answer.

    Raises:
        DataError: the template cannot be rendered, or writes no special token behind an answer.

    Example: with ChatML the ids of an answer are those of `Hello<|im_end|>`, behind `<|im_start|>assistant` and a line
    end.
    """

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self._tokenizer, self._template = tokenizer, template
        ends = {tokenizer.end_id, *tokenizer.other_end_ids}
        self._specials = ends.union(*(tokenizer.marked_ids(text) for text in tokenizer.special_texts()))
        text, spans = self._rendered(_PROBE)
        ids, offsets = self._tokens(text)
        behind = [token_id for token_id, (_, end) in zip(ids, offsets, strict=True) if end > spans[-1][1]]
        found = next((token_id for token_id in behind if token_id in self._specials), None)
        if found is None:
            raise DataError(
                "the chat template writes no special token behind an answer, so a model could not learn where one "
                "ends: put the end token behind the assistant's messages in chat_template.jinja"
            )
        self.end_id: int = found

    def turns(self, messages: Sequence[Message]) -> Turns:
        """The ids of a conversation, equal to those of its rendered text, and the places of its answers.

        No token lies across the place where an answer begins: there the text is divided, as it is when the model
        answers.

        Args:
            messages: as `conversation` of records/messages.py returns them.

        Raises:
            DataError: the template refuses the conversation, or does not write its answers.
        """
        text, spans = self._rendered(messages)
        ids, offsets = self._tokens(text)
        across = {start for start, _ in spans if any(one < start < end for one, end in offsets)}
        if across:
            ids, offsets = self._tokens(text, across)
        ends = [end for _, end in offsets]
        answers = []
        for start, end in spans:
            first = next((place for place, reached in enumerate(ends) if reached > start), len(ids))
            last = next((place for place in range(first, len(ids)) if ends[place] > end), len(ids))
            special = next((place for place in range(last, len(ids)) if ids[place] in self._specials), None)
            if special is not None and ids[special] == self.end_id:
                last = special + 1
            answers.append((first, last))
        return Turns(ids, answers)

    def within(self, messages: Sequence[Message], count: int) -> list[Turns]:
        """A conversation in parts of at most so many tokens, divided between turns.

        A turn is a message of the user with its answer. Each part begins with the system message, and has as many turns
        as fit, at least one; a turn that does not fit is cut at its end.

        Args:
            messages: as for `turns`.
            count: maximum number of tokens of a part.

        Raises:
            DataError: as `turns`.
        """
        whole = self.turns(messages)
        if len(whole.ids) <= count:
            return [whole]
        begins = [place for place, message in enumerate(messages) if message["role"] == USER]
        system = [message for message in messages[:1] if message["role"] == SYSTEM]

        def until(end: int) -> Turns:
            return self.turns([*system, *messages[begins[start] : [*begins, len(messages)][end]]])

        parts, start = [], 0
        while start < len(begins):
            start, found = _most(until, start + 1, len(begins), count)
            parts.append(found.first(count))
        return [each for each in parts if each.answers]

    def _rendered(self, messages: Sequence[Message]) -> tuple[str, list[tuple[int, int]]]:
        """The text of a conversation, and where each answer begins and ends in it."""
        safe = [{**message, "content": _plain(message["content"])} for message in messages]
        safe = guarded(self._tokenizer, safe)
        text = self._template.render(safe, answer=False)
        places = [place for place, message in enumerate(safe) if message["role"] == ASSISTANT]
        for around in (_around, _inside):  # a template may strip what it is given
            marked = [
                {**message, "content": around(message["content"])} if message["role"] == ASSISTANT else message
                for message in safe
            ]
            shown = self._template.render(marked, answer=False)
            if _plain(shown) == text and shown.count(_CLOSE) == len(places):
                break
        else:
            raise DataError("the model's chat template changes the assistant's messages, or leaves some out")
        spans = []
        for place, (opened, end) in zip(places, _marks(shown), strict=True):
            # What the model has to write begins where the template leaves it the word.
            before = self._template.render(safe[:place], answer=True)
            start = len(before) if len(before) <= end and text.startswith(before) else opened
            if start is None:
                raise DataError(f"the model's chat template does not write messages[{place}] as an answer begins")
            spans.append((start, end))
        return text, spans

    def _tokens(self, text: str, cuts: Sequence[int] | set[int] = ()) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a rendered text and their places in it; no token lies across a cut or a guard."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for begin, end in pairwise(sorted({0, *cuts, len(text)})):
            for part in text[begin:end].split(GUARD):
                if part:
                    found = self._tokenizer.marked(part)
                    ids += found.ids
                    offsets += [(begin + one, begin + other) for one, other in found.offsets]
                begin += len(part) + len(GUARD)
        return ids, offsets


def _most(part: Callable[[int], Turns], least: int, most: int, count: int) -> tuple[int, Turns]:
    """The largest end of a part that still fits, by halving, and the part; the least one if none fits."""
    found = part(least)
    while least < most:
        middle = (least + most + 1) // 2
        tried = part(middle)
        if len(tried.ids) <= count:
            least, found = middle, tried
        else:
            most = middle - 1
    return least, found


def _around(text: str) -> str:
    return f"{_OPEN}{text}{_CLOSE}"


def _inside(text: str) -> str:
    """The marks inside the spaces at both ends of a text."""
    core = text.strip()
    before, _, after = text.partition(core) if core else (text, "", "")
    return f"{before}{_OPEN}{core}{_CLOSE}{after}"


def _plain(text: str) -> str:
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def _marks(shown: str) -> list[tuple[int | None, int]]:
    """Where each answer begins, None if the template left that mark out, and ends, in the text without marks."""
    marks: list[tuple[int | None, int]] = []
    opened, place = None, 0
    for character in shown:
        if character == _OPEN:
            opened = place
        elif character == _CLOSE:
            marks.append((opened, place))
            opened = None
        else:
            place += 1
    return marks
