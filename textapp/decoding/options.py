"""What a user may choose about decoding, checked at the border."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from textapp.errors import OptionError, UsageError, did_you_mean


@dataclass(frozen=True)
class DecodingOptions:
    """How a text is found.

    Attributes:
        beam_size: hypotheses that beam search keeps; 1: none but the likeliest.
        length_penalty: a hypothesis of n tokens is ranked by its log-probability / n ** length_penalty; 0: by the sum,
            which favours short ones.
        num_hypotheses: hypotheses of the beam to return.
        temperature: logits are divided by it before a token is drawn; 0: the likeliest is taken instead.
        top_k: tokens, the likeliest ones, that are drawn from; 0: all.
        top_p: draws from the fewest tokens that together have this probability, 0 to 1.
        min_p: draws from tokens at least this share as probable as the likeliest, 0 to 1.
        repetition_penalty: from 1 on; logits of tokens that were written already are lowered by this factor.
        no_repeat_ngram_size: no n-gram of this size is repeated; 0: any may be.
        min_new_tokens: minimum number of new tokens, before which the text cannot end.
        max_new_tokens: maximum number of new tokens; None: as many as the greedy signature of the input's length.
        stop: strings that end the text; it is cut before them.
        seed: of the draws; None: another text each time.

    Raises:
        OptionError: a value is out of range, or has no effect beside the others.
    """

    beam_size: int = 1
    length_penalty: float = 1.0
    num_hypotheses: int = 1
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    min_new_tokens: int = 0
    max_new_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", _strings(self.stop))
        for name, (low, high, whole) in _RANGES.items():
            _check_range(name, getattr(self, name), low, high, whole)
        if self.max_new_tokens is not None and self.max_new_tokens < self.min_new_tokens:
            raise OptionError(
                f"max_new_tokens {self.max_new_tokens} is below min_new_tokens {self.min_new_tokens}: raise it",
                "max_new_tokens", "min_new_tokens",
            )  # fmt: skip
        if "" in self.stop:
            raise OptionError("stop: found an empty string, which stands everywhere: leave it out", "stop")
        self._check_together()

    def _check_together(self) -> None:
        if self.sampled and self.beam_size > 1:
            raise OptionError(
                f"temperature {self.temperature:g} and beam_size {self.beam_size} were both given: draw, or search",
                "temperature", "beam_size",
            )  # fmt: skip
        for name in _OF_SAMPLING:
            if not self.sampled and getattr(self, name) != _DEFAULTS[name]:
                found = f"{name} {getattr(self, name)}"
                raise OptionError(f"{found} needs draws: give temperature above 0, such as 1", name, "temperature")
        for name in _OF_BEAMS:
            if self.beam_size == 1 and getattr(self, name) != _DEFAULTS[name]:
                found = f"{name} {getattr(self, name)}"
                raise OptionError(f"{found} needs a beam: give beam_size above 1, such as 4", name, "beam_size")
        if self.num_hypotheses > self.beam_size:
            raise OptionError(
                f"num_hypotheses {self.num_hypotheses} is more than beam_size {self.beam_size}: raise beam_size",
                "num_hypotheses", "beam_size",
            )  # fmt: skip

    @property
    def sampled(self) -> bool:
        return self.temperature > 0

    @property
    def plain(self) -> bool:
        """Whether the greedy loop inside the graph finds the same."""
        return self == PLAIN

    def check_vocabulary(self, vocabulary_size: int) -> None:
        """Refuses what is wider than the vocabulary.

        Raises:
            UsageError: it is.
        """
        for name in ("beam_size", "top_k"):
            if getattr(self, name) > vocabulary_size:
                raise OptionError(
                    f"{name} {getattr(self, name)} is wider than the vocabulary of {vocabulary_size} tokens: lower it",
                    name,
                )


# lowest, highest, whether it must be a whole number
_RANGES: dict[str, tuple[float, float, bool]] = {
    "beam_size": (1, math.inf, True),
    "length_penalty": (0, math.inf, False),
    "num_hypotheses": (1, math.inf, True),
    "temperature": (0, math.inf, False),
    "top_k": (0, math.inf, True),
    "top_p": (0, 1, False),
    "min_p": (0, 1, False),
    "repetition_penalty": (1, math.inf, False),
    "no_repeat_ngram_size": (0, math.inf, True),
    "min_new_tokens": (0, math.inf, True),
    "max_new_tokens": (0, math.inf, True),
    "seed": (0, math.inf, True),
}
_DEFAULTS = {field.name: field.default for field in fields(DecodingOptions)}
_OF_SAMPLING = ("top_k", "top_p", "min_p", "seed")
_OF_BEAMS = ("length_penalty", "num_hypotheses")


def decoding_options(given: Mapping[str, Any]) -> DecodingOptions:
    """The options of a call, by name.

    Raises:
        UsageError: there is no such option, or its value does not do.
    """
    for name in given:
        if name not in _DEFAULTS:
            raise UsageError(
                f"'{name}' is no option of decoding, expected one of {', '.join(_DEFAULTS)}"
                f"{did_you_mean(name, _DEFAULTS)}"
            )
    return DecodingOptions(**given)


def _strings(stop: Any) -> tuple[str, ...]:
    """One string or several as a tuple."""
    several = (stop,) if isinstance(stop, str) else stop
    if not isinstance(several, (list, tuple)) or not all(isinstance(string, str) for string in several):
        raise OptionError(f"stop: found {stop!r}, expected a string or a list of them", "stop")
    return tuple(several)


def _check_range(name: str, value: Any, low: float, high: float, whole: bool) -> None:
    if value is None and _DEFAULTS[name] is None:
        return
    kind = "a whole number" if whole else "a number"
    allowed = f"{kind} from {low:g}" + ("" if high == math.inf else f" to {high:g}")
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise OptionError(f"{name}: found {value!r}, expected {allowed}", name)


PLAIN = DecodingOptions()
