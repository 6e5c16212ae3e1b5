"""Base of the tasks that generate text: answers, choice of the signature, and texts that are too long."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from textapp.decoding.signatures import generate_name, prefill_name
from textapp.errors import DataError, UsageError
from textapp.predictors.requests import TOKENS, Request
from textapp.tasks.signature_checks import check_signatures
from textapp.tasks.task import Record, Task, smallest
from textapp.tasks.warned import Warned
from textapp.untrusted import MAX_LENGTH, Kind, list_of, shown, whole

if TYPE_CHECKING:
    from textapp.decoding.scoring import Window
    from textapp.predictors.generative import GenerativePredictor
    from textapp.predictors.requests import Features
    from textapp.runners.flatfile import SignatureShapes
    from textapp.runners.runner import Outputs, Runner
    from textapp.text.cutting import Part
    from textapp.text.tokenizer import Tokenizer

OVERFLOW = ("truncate", "error")
PAIRS = Kind(
    "a list of one or more pairs of whole numbers, [read, new], read ascending",
    lambda value: (
        list_of(list_of(whole(1, MAX_LENGTH), exactly=2), at_least=1).fits(value)
        and all(one[0] < other[0] for one, other in zip(value, value[1:], strict=False))
    ),
)
_SHOWN_CHARACTERS = 40

log = logging.getLogger("textapp")


class Generated(Protocol):
    """The answer of a task that generates text: what decoding, checks and samples need of it."""

    @property
    def input(self) -> str:
        """The text of the input field."""

    @property
    def output(self) -> str:
        """The generated text."""

    @property
    def score(self) -> float | None:
        """The score of the output."""

    def line(self) -> str:
        """See `Answer`."""

    def changed(self, change: Callable[[str], str]) -> Generated:
        """The answer with every output changed, such as cut at a stop string."""


@dataclass(frozen=True)
class TextAnswer:
    """The answer to one text.

    Attributes:
        input: the text.
        output: its translation, or its continuation, so that `input + output` is the whole text.
        score: the sum of the log-probabilities of the output's tokens, 0 at most; None if the model returned none.
    """

    input: str
    output: str
    score: float | None

    def __str__(self) -> str:
        return self.output

    def line(self) -> str:
        """The output, unchanged."""
        return self.output

    def changed(self, change: Callable[[str], str]) -> TextAnswer:
        """See `Generated`."""
        return replace(self, output=change(self.output))


@dataclass(frozen=True)
class RankedAnswer(TextAnswer):
    """The answer to one text with several hypotheses; `output` is the best one.

    Attributes:
        outputs: `{"output": ..., "score": ...}` of each hypothesis, the best first.
    """

    outputs: list[dict[str, Any]]

    def line(self) -> str:
        """`score output` of each hypothesis, separated by a tab."""
        return "\n".join(f"{each['score']:.3f}\t{each['output']}" for each in self.outputs)

    def changed(self, change: Callable[[str], str]) -> RankedAnswer:
        """See `Generated`."""
        outputs = [{**each, "output": change(each["output"])} for each in self.outputs]
        return replace(self, output=change(self.output), outputs=outputs)


class GenerativeTask(Task):
    """Turns records into requests, and token ids into answers. Base class of the tasks.

    Args:
        tokenizer: of the input.
        target_tokenizer: of the output; the same one if both share a vocabulary.
        lengths: the buckets in tokens, ascending.
        generate_lengths: `(read, new)` tokens of each signature, `read` ascending; empty before they are known.
        overflow: for a text longer than the longest `read`: `truncate` it, with a warning, or report an `error`.

    Attributes:
        input_field: field of a record with the input.
        target_field: field of a record with the reference.
        text_measures: figures of reference texts that are reported, see `metrics.generation.perplexity`.
        max_new_tokens: maximum number of tokens of an answer.
        converses: whether it may read a conversation, as a language model does.
        one_line: whether of a generated text the first line without blanks around it is the answer.

    Raises:
        UsageError: `overflow` has another value.
    """

    options = ("overflow",)
    text_measures: tuple[str, ...]
    input_field: str
    target_field: str
    converses = False
    one_line = False

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
        self.end_ids = (self.end_id, *target_tokenizer.other_end_ids)
        self._warned = Warned()
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

    def check_model(self, shapes: Mapping[str, SignatureShapes]) -> None:
        """See `Task`: the lengths, the vocabulary, and the cache that steps pass on."""
        check_signatures(
            shapes, self.generate_lengths, self.target_tokenizer, places=self.first_position(1) + self.room(1)
        )

    def record(self, text: Any = None, *more: Any, **fields: Any) -> Record:
        """Makes a record from a text or a record.

        Raises:
            UsageError: it is neither, or both were given.
        """
        if more or (text is not None and fields):
            found = [*([] if text is None else [text]), *more, *fields.values()]
            raise UsageError(f"found {len(found)} values, expected one text or one record; several texts go to batch")
        record = {self.input_field: text} if isinstance(text, str) else fields or text
        if not isinstance(record, Mapping) or not isinstance(record.get(self.input_field), str):
            field = self.input_field
            raise UsageError(f"found {shown(text)}, expected a text, or a record such as {{'{field}': 'a text'}}")
        return record

    def check(self, record: Record) -> None:
        """Checks the length of the text.

        Raises:
            DataError: it is too long, and `overflow` is `error`.
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
        """The features of token ids with their special tokens."""
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
        """Like `signature`, for the prefill before decoding step by step: `("prefill_32", 32)`."""
        return smallest(self._prefills, num_tokens)

    # --- what a decoder reads and generates --------------------------------------------------------------------------

    def room(self, num_tokens: int) -> int:
        """The maximum number of new tokens after an input of `num_tokens`."""
        return self.max_new_tokens

    def first_position(self, num_tokens: int) -> int:
        """The position of the first new token after an input of `num_tokens`."""
        raise NotImplementedError

    def filler(self, features: Features) -> Features:
        """The features of an unused row in a batch of fixed size, given those of another row."""
        raise NotImplementedError

    def windows(self, owner: int, record: Record) -> tuple[list[Window], int]:
        """The windows that score the text of a record, and the number of characters that they score.

        Args:
            owner: index of the record, stored in its windows.
            record: with the text to score.
        """
        raise NotImplementedError

    def reference_ids(self, record: Record) -> list[int]:
        """The ids of the reference output of a record; empty if it has none."""
        raise NotImplementedError

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of generated token ids, up to the end id."""
        return self.target_tokenizer.decode(self.until_end(token_ids))

    def until_end(self, token_ids: Sequence[int]) -> list[int]:
        """The ids before the first one that ends a text."""
        ids = list(token_ids)
        return ids[: next((place for place, token_id in enumerate(ids) if token_id in self.end_ids), len(ids))]

    def generated_text(self, record: Record, token_ids: Sequence[int]) -> str:
        """The text that the model generated for this record."""
        return self.decode(token_ids)

    def answer(self, record: Record, outputs: Sequence[Outputs]) -> Generated:
        """The answer to one record.

        Args:
            record: the record.
            outputs: of its one request: `token_ids` `[new]` and maybe `score` `[]`; with several hypotheses, the best
                first, `token_ids` `[hypotheses, new]` and `score` `[hypotheses]`.

        Returns:
            A `RankedAnswer` for several hypotheses, else a `TextAnswer`.
        """
        output = outputs[0]
        text, token_ids = record[self.input_field], np.asarray(output["token_ids"])
        if token_ids.ndim == 1:
            score = float(output["score"]) if "score" in output else None
            return TextAnswer(text, self.generated_text(record, token_ids.tolist()), score)
        ranked: list[dict[str, Any]] = [
            {"output": self.generated_text(record, ids), "score": float(score)}
            for ids, score in zip(token_ids.tolist(), output["score"], strict=True)
        ]
        return RankedAnswer(text, ranked[0]["output"], ranked[0]["score"], ranked)

    def _check_known(self, part: Part) -> None:
        """Warns once about a text if more than half of its characters are unknown to the tokenizer."""
        text, ids = part.text, part.ids
        if self.tokenizer.unknown_id not in ids:
            return
        known = self.tokenizer.decode([token_id for token_id in ids if token_id != self.tokenizer.unknown_id])
        if 2 * _letters(known) < _letters(text):
            message = (
                f"{_shown(text)} consists mostly of characters that the model does not know: is it in another script?"
            )
            self._warned.warn("in another script", text, message)

    def _check_length(self, text: str, num_tokens: int, kept: str, whole: bool = True) -> None:
        """Reports a text that is too long: as an error, or as a warning that only its `kept` part is read.

        Args:
            text: the text.
            num_tokens: of the text, or of its part that was tokenised.
            kept: which part is read.
            whole: whether all of the text was tokenised.
        """
        if num_tokens <= self.max_tokens:
            return
        count = f"{'' if whole else 'over '}{num_tokens}"
        problem = f"{_shown(text)} has {count} tokens, but the model reads at most {self.max_tokens}"
        if self.overflow == "error":
            raise DataError(f"{problem}: shorten or split it, or set overflow to truncate")
        self._warned.warn("too long", text, f"{problem}: truncated to its {kept}")


def _shown(text: str) -> str:
    """The beginning of a text, in quotes, for a message."""
    start = " ".join(text[:_SHOWN_CHARACTERS].split())
    return f"'{start}...'" if len(text) > _SHOWN_CHARACTERS else f"'{start}'"


def _letters(text: str) -> int:
    return sum(map(len, text.split()))
