"""What the tasks that generate text share: the answer, the signature that fits, and what becomes of a text too long."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.decoding.signatures import generate_name, prefill_name
from textapp.errors import DataError, UsageError
from textapp.predictors.requests import TOKENS, Request
from textapp.tasks.task import Record, Task, smallest

if TYPE_CHECKING:
    from textapp.decoding.scoring import Window
    from textapp.predictors.generative import GenerativePredictor
    from textapp.predictors.requests import Features
    from textapp.runners.runner import Outputs, Runner
    from textapp.text.tokenizer import Tokenizer

OVERFLOW = ("truncate", "error")
_SHOWN_CHARACTERS = 40
_MAX_WARNED = 20  # texts of a kind that are reported one by one: of a large file the rest would hide all else

MORE = "further warnings about texts that are {} are suppressed"

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

    def __str__(self) -> str:
        return self.output

    def line(self) -> str:
        """The output as it is."""
        return self.output


@dataclass(frozen=True)
class RankedAnswer(TextAnswer):
    """The answer to one text where several outputs were asked for; `output` is the best of them.

    Attributes:
        outputs: `{"output": ..., "score": ...}` of each, the best first.
    """

    outputs: list[dict[str, Any]]

    def line(self) -> str:
        """`score output` of each hypothesis, separated by a tab."""
        return "\n".join(f"{each['score']:.3f}\t{each['output']}" for each in self.outputs)


class GenerativeTask(Task):
    """Turns records into requests, and token ids into answers. A base: each task fills in the rest.

    Args:
        tokenizer: of what is read.
        target_tokenizer: of what is generated; the same one where both share a vocabulary.
        lengths: the buckets in tokens, ascending.
        generate_lengths: `(read, new)` of each signature, in tokens, `read` ascending; empty before they are known.
        overflow: of a text longer than the longest `read`: `truncate` it, with a warning, or report an `error`.

    Attributes:
        input_field: of a record, what is read.
        target_field: of a record, what is right.
        text_measures: figures of the data's own texts that are reported, see `metrics.generation.perplexity`.
        max_new_tokens: that any answer may have.

    Raises:
        UsageError: `overflow` is neither.
    """

    options = ("overflow",)
    text_measures: tuple[str, ...]
    input_field: str
    target_field: str

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
        self.fields: tuple[str, ...] = (self.input_field,)
        self.tokenizer = tokenizer
        self.target_tokenizer = target_tokenizer
        self.lengths = list(lengths)
        self.generate_lengths = [(read, new) for read, new in generate_lengths]
        self.overflow = overflow
        self.start_id, self.end_id = target_tokenizer.start_id, target_tokenizer.end_id
        self._warned: dict[str, set[int]] = {}
        self.signatures = [(generate_name(read, new), read) for read, new in self.generate_lengths]
        self._prefills = [(prefill_name(read), read) for read, _ in self.generate_lengths]

    @property
    def max_tokens(self) -> int:
        """The longest input, in tokens."""
        return self._prefills[-1][1] if self._prefills else self.lengths[-1]

    @property
    def max_new_tokens(self) -> int:
        raise NotImplementedError

    def predictor(
        self, runner: Runner, manifest: Mapping[str, Any], path: Path, workers: int = 1
    ) -> GenerativePredictor:
        """See `Task`."""
        from textapp.predictors.generative import GenerativePredictor  # a classifier starts sooner without it

        return GenerativePredictor(self, runner, manifest, path, workers)

    def record(self, text: Any = None, **fields: Any) -> Record:
        """A text, or a record that holds it."""
        record = {self.input_field: text} if isinstance(text, str) else fields or text
        if not isinstance(record, Mapping) or not isinstance(record.get(self.input_field), str):
            field = self.input_field
            raise UsageError(f"found {text!r:.80}, expected a text, or a record such as {{'{field}': 'a text'}}")
        return record

    def check(self, record: Record) -> None:
        """Refuses a text that is too long, where `overflow` is `error`.

        Raises:
            DataError: it is.
        """
        if self.overflow == "error":
            self.features(record)

    def requests(self, record: Record) -> list[Request]:
        """One request: `generate_<read>_<new>`."""
        features = self.features(record)
        return [Request(*self.signature(len(features[TOKENS])), features)]

    def features(self, record: Record) -> dict[str, Any]:
        """The inputs of the model for one record, not padded."""
        raise NotImplementedError

    def features_of(self, ids: list[int]) -> dict[str, Any]:
        """The same of token ids with their special tokens."""
        raise NotImplementedError

    def queries(self, records: Sequence[Record], max_count: int) -> list[Record]:
        """The records themselves."""
        return list(records)

    def signature(self, num_tokens: int) -> tuple[str, int]:
        """The name and the input length of the smallest greedy signature that takes `num_tokens`, else the longest.

        Example: with `generate_lengths` [[16, 24], [32, 48]], 17 tokens give `("generate_32_48", 32)`.
        """
        return smallest(self.signatures, num_tokens)

    def prefill(self, num_tokens: int) -> tuple[str, int]:
        """The same of the signature that reads the input before decoding step by step: `("prefill_32", 32)`."""
        return smallest(self._prefills, num_tokens)

    # --- what a decoder reads and generates --------------------------------------------------------------------------

    def room(self, num_tokens: int) -> int:
        """New tokens that there is room for after an input of `num_tokens`."""
        return self.max_new_tokens

    def first_position(self, num_tokens: int) -> int:
        """The position of the first new token after an input of `num_tokens`."""
        raise NotImplementedError

    def filler(self, features: Features) -> Features:
        """The features of a row of a call of fixed shape that no text needs, given those of another row."""
        raise NotImplementedError

    def windows(self, owner: int, record: Record) -> tuple[list[Window], int]:
        """What a model has to read to score a record's text, and how many characters of it count.

        Args:
            owner: the number of the record, for its windows.
            record: with its text.
        """
        raise NotImplementedError

    def reference_ids(self, record: Record) -> list[int]:
        """The ids that are right for a record, after its input; empty where the record does not say."""
        raise NotImplementedError

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of generated token ids, up to the end id."""
        return self.target_tokenizer.decode(self.until_end(token_ids))

    def until_end(self, token_ids: Sequence[int]) -> list[int]:
        """The ids before the end id."""
        ids = list(token_ids)
        return ids[: ids.index(self.end_id)] if self.end_id in ids else ids

    def generated_text(self, record: Record, token_ids: Sequence[int]) -> str:
        """The text that the model generated for this record."""
        return self.decode(token_ids)

    def answer(self, record: Record, outputs: Sequence[Outputs]) -> TextAnswer:
        """The answer to one record.

        Args:
            record: the record.
            outputs: of its one request: `token_ids` `[new]` and maybe `score` `[]`; with several hypotheses, the best
                first, `token_ids` `[hypotheses, new]` and `score` `[hypotheses]`.

        Returns:
            A `RankedAnswer` for several hypotheses, else a `TextAnswer`.
        """
        found = outputs[0]
        text, token_ids = record[self.input_field], np.asarray(found["token_ids"])
        if token_ids.ndim == 1:
            score = float(found["score"]) if "score" in found else None
            return TextAnswer(text, self.generated_text(record, token_ids.tolist()), score)
        ranked: list[dict[str, Any]] = [
            {"output": self.generated_text(record, ids), "score": float(score)}
            for ids, score in zip(token_ids.tolist(), found["score"], strict=True)
        ]
        return RankedAnswer(text, ranked[0]["output"], ranked[0]["score"], ranked)

    def _check_known(self, text: str, ids: Sequence[int]) -> None:
        """Says once of a text that more than half of its characters are in no token of the model."""
        if self.tokenizer.unknown_id not in ids:
            return
        known = self.tokenizer.decode([token_id for token_id in ids if token_id != self.tokenizer.unknown_id])
        if 2 * _letters(known) < _letters(text):
            message = f"{_shown(text)} consists mostly of characters that the model never saw: another script?"
            self._warn("in another script", text, message)

    def _check_length(self, text: str, num_tokens: int, kept: str) -> None:
        """Refuses a text that is too long, or warns once that only the `kept` of it is read."""
        if num_tokens <= self.max_tokens:
            return
        found = f"{_shown(text)} has {num_tokens} tokens, and the model reads {self.max_tokens} at most"
        if self.overflow == "error":
            raise DataError(f"{found}: shorten or split it, or set overflow to truncate")
        self._warn("too long", text, f"{found}: truncated to its {kept}")

    def _warn(self, kind: str, text: str, message: str) -> None:
        """Warns of each text once, and of the first ones of each kind."""
        warned, key = self._warned.setdefault(kind, set()), hash(text)
        if key in warned or len(warned) > _MAX_WARNED:
            return
        warned.add(key)
        log.warning("%s", message if len(warned) <= _MAX_WARNED else MORE.format(kind))


def _shown(text: str) -> str:
    """The beginning of a text, for a message."""
    start = " ".join(text[:_SHOWN_CHARACTERS].split())
    return f"'{start}...'" if len(text) > _SHOWN_CHARACTERS else f"'{start}'"


def _letters(text: str) -> int:
    return sum(map(len, text.split()))
