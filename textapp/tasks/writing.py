"""What the tasks that write text share: the answer, the signature that fits, and what becomes of a text too long."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.decoding.signatures import generate_name, prefill_name
from textapp.errors import DataError, UsageError

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer

OVERFLOW = ("truncate", "error")
_SHOWN_CHARACTERS = 40
_MOST_WARNED = 20  # texts of a kind that are told one by one: of a large file the rest would hide all else

MORE = "more texts that are {} follow, and are not told one by one"

log = logging.getLogger("textapp")


@dataclass(frozen=True)
class TextAnswer:
    """The answer to one text.

    Attributes:
        input: the text.
        output: its translation, or what continues it: `input + output` reads on.
        score: the sum of the log-probabilities of the output's tokens, 0 at most; None where the model gave none.
    """

    input: str
    output: str
    score: float | None


@dataclass(frozen=True)
class RankedAnswer(TextAnswer):
    """The answer to one text where several outputs were asked for; `output` is the best of them.

    Attributes:
        outputs: `{"output": ..., "score": ...}` of each, the best first.
    """

    outputs: list[dict[str, Any]]


class WritingTask:
    """Turns records into features, and token ids into answers.

    Args:
        tokenizer: of what is read.
        target_tokenizer: of what is written; the same one where both share a vocabulary.
        lengths: the buckets in tokens, ascending.
        generate_lengths: `(read, new)` of each signature, in tokens, `read` ascending; empty before they are known.
        overflow: for a text longer than the longest `read`: `truncate`, with a warning, or `error`.

    Raises:
        UsageError: `overflow` is neither.
    """

    name = "writing"
    input_field = "text"

    def __init__(
        self,
        tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        lengths: Sequence[int],
        generate_lengths: Sequence[Sequence[int]] = (),
        overflow: str = "truncate",
    ) -> None:
        if overflow not in OVERFLOW:
            raise UsageError(f"overflow: found '{overflow}', expected one of {', '.join(OVERFLOW)}")
        self.tokenizer = tokenizer
        self.target_tokenizer = target_tokenizer
        self.lengths = list(lengths)
        self.generate_lengths = [(read, new) for read, new in generate_lengths]
        self.overflow = overflow
        self.start_id, self.end_id = target_tokenizer.start_id, target_tokenizer.end_id
        self._warned: dict[str, set[int]] = {}
        self._signatures = [(generate_name(read, new), read) for read, new in self.generate_lengths]
        self._prefills = [(prefill_name(read), read) for read, _ in self.generate_lengths]

    @property
    def most_tokens(self) -> int:
        """The longest input, in tokens."""
        return self._prefills[-1][1] if self._prefills else self.lengths[-1]

    def record(self, text: str) -> dict[str, str]:
        """A text to be answered, as a record."""
        return {self.input_field: text}

    def queries(self, records: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
        """What to ask the model when it is measured: the records themselves, where they hold what is asked.

        Args:
            records: of the run's data.
            most: made queries at most, for a task that makes its own out of records without any.
        """
        return list(records)

    def signature(self, num_tokens: int) -> tuple[str, int]:
        """The name and the input length of the smallest greedy signature that takes `num_tokens`, else the longest.

        Example: with `generate_lengths` [[16, 24], [32, 48]], 17 tokens give `("generate_32_48", 32)`.
        """
        return _smallest(self._signatures, num_tokens)

    def prefill(self, num_tokens: int) -> tuple[str, int]:
        """The same of the signature that reads the input before decoding step by step: `("prefill_32", 32)`."""
        return _smallest(self._prefills, num_tokens)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of written token ids, up to the end id."""
        return self.target_tokenizer.decode(self.until_end(token_ids))

    def until_end(self, token_ids: Sequence[int]) -> list[int]:
        """The ids before the end id."""
        ids = list(token_ids)
        return ids[: ids.index(self.end_id)] if self.end_id in ids else ids

    def written(self, record: Mapping[str, Any], token_ids: Sequence[int]) -> str:
        """The text that the model wrote for this record."""
        return self.decode(token_ids)

    def answer(self, record: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> TextAnswer:
        """The answer to one record.

        Args:
            record: the record.
            outputs: `token_ids` `[new]` and maybe `score` `[]`; with several hypotheses, the best first, `token_ids`
                `[hypotheses, new]` and `score` `[hypotheses]`.

        Returns:
            A `RankedAnswer` for several hypotheses, else a `TextAnswer`.
        """
        text, token_ids = record[self.input_field], np.asarray(outputs["token_ids"])
        if token_ids.ndim == 1:
            score = float(outputs["score"]) if "score" in outputs else None
            return TextAnswer(text, self.written(record, token_ids.tolist()), score)
        ranked = [
            {"output": self.written(record, ids), "score": float(score)}
            for ids, score in zip(token_ids.tolist(), outputs["score"], strict=True)
        ]
        return RankedAnswer(text, ranked[0]["output"], ranked[0]["score"], ranked)

    def _check_known(self, text: str, ids: Sequence[int]) -> None:
        """Says once of a text that more than half of its characters are in no token of the model."""
        if self.tokenizer.unknown_id not in ids:
            return
        known = self.tokenizer.decode([token_id for token_id in ids if token_id != self.tokenizer.unknown_id])
        if 2 * _letters(known) < _letters(text):
            message = f"{_shown(text)} is for the most part in characters that the model never saw: another script?"
            self._warn("in another script", text, message)

    def _room(self, text: str, num_tokens: int, most: int, kept: str) -> None:
        """Refuses a text of more than `most` tokens, or says once that the `kept` of it is all that is read."""
        if num_tokens <= most:
            return
        found = f"{_shown(text)} has {num_tokens} tokens, and the model reads {most} at most"
        if self.overflow == "error":
            raise DataError(f"{found}: shorten or split it, or set overflow to truncate")
        self._warn("too long", text, f"{found}: truncated to its {kept}")

    def _warn(self, kind: str, text: str, message: str) -> None:
        """Tells each text once, and of each kind the first ones."""
        told, key = self._warned.setdefault(kind, set()), hash(text)
        if key in told or len(told) > _MOST_WARNED:
            return
        told.add(key)
        log.warning("%s", message if len(told) <= _MOST_WARNED else MORE.format(kind))


def _shown(text: str) -> str:
    """The beginning of a text, for a message."""
    start = " ".join(text[:_SHOWN_CHARACTERS].split())
    return f"'{start}...'" if len(text) > _SHOWN_CHARACTERS else f"'{start}'"


def _letters(text: str) -> int:
    return sum(map(len, text.split()))


def _smallest(signatures: Sequence[tuple[str, int]], num_tokens: int) -> tuple[str, int]:
    for signature in signatures:
        if num_tokens <= signature[1]:
            return signature
    return signatures[-1]
