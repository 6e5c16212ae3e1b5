"""The decoding options of a user, checked when they are given."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, NamedTuple

from textapp.decoding.json_schemas import schema_text
from textapp.errors import OptionError, UsageError, did_you_mean
from textapp.untrusted import shown

REGEX, JSON_SCHEMA = "regex", "json_schema"
_FORMS = ("choices", REGEX, JSON_SCHEMA)  # what an answer has to be, one at a time


class Form(NamedTuple):
    """What an answer has to look like.

    Attributes:
        kind: `regex` or `json_schema`, as the option is called.
        text: the pattern, which the whole answer has to match, or the schema.
    """

    kind: str
    text: str


def _option(
    default: Any, help: str, low: float = 0, high: float = math.inf, whole: bool = False, needs: str = ""
) -> Any:
    """A field of `DecodingOptions`.

    Args:
        default: its value if it is not given.
        help: for the command line.
        low, high: the range of its values.
        whole: whether it has to be a whole number.
        needs: the option without which it has no effect; empty: none.
    """
    return field(default=default, metadata={"help": help, "range": (low, high, whole), "needs": needs})


@dataclass(frozen=True)
class DecodingOptions:
    """How a text is generated. The command line has an option for each field, with the help given here.

    Raises:
        OptionError: a value is out of range, or has no effect together with the others.
    """

    beam_size: int = _option(1, "hypotheses kept by beam search; 1: greedy search or sampling", low=1, whole=True)
    length_penalty: float = _option(
        1.0, "rank hypotheses by score / length ** penalty; 0: by the score, which favours short ones; default 1",
        high=10, needs="beam_size",
    )  # fmt: skip
    num_hypotheses: int = _option(1, "hypotheses of the beam to return", low=1, whole=True, needs="beam_size")
    temperature: float = _option(0.0, "sampling temperature; lower is more conservative; 0: greedy search", high=1000)
    top_k: int = _option(0, "sample from the k most probable tokens; 0: from all", whole=True, needs="temperature")
    top_p: float = _option(
        1.0, "sample from the smallest set of tokens with this total probability", high=1, needs="temperature"
    )
    min_p: float = _option(
        0.0, "drop tokens below this share of the most probable one's probability", high=1, needs="temperature"
    )
    repetition_penalty: float = _option(1.0, ">= 1; penalises tokens that were already generated", low=1, high=1000)
    no_repeat_ngram_size: int = _option(0, "never repeat an n-gram of this size; 0: any may be", whole=True)
    min_new_tokens: int = _option(0, "minimum number of new tokens", whole=True)
    max_new_tokens: int | None = _option(
        None, "maximum number of new tokens; default: that of the greedy signature for the input's length", whole=True
    )
    stop: tuple[str, ...] = field(default=(), metadata={"help": "stop before this string; repeats"})
    choices: tuple[str, ...] = field(default=(), metadata={"help": "answer with this text or another one so given"})
    regex: str | None = field(default=None, metadata={"help": "the whole answer matches this regular expression"})
    json_schema: str | Mapping[str, Any] | None = field(
        default=None, metadata={"help": "the answer is JSON that satisfies this schema: a file, or the schema itself"}
    )
    seed: int | None = _option(
        None, "random seed for sampling; default: another text each time", whole=True, needs="temperature"
    )

    def __post_init__(self) -> None:
        for name in ("stop", "choices"):
            object.__setattr__(self, name, _strings(name, getattr(self, name)))
        for option in fields(self):
            if "range" in option.metadata:
                object.__setattr__(self, option.name, _checked(option, getattr(self, option.name)))
        if self.max_new_tokens is not None and self.max_new_tokens < self.min_new_tokens:
            raise OptionError(
                f"max_new_tokens {self.max_new_tokens} is below min_new_tokens {self.min_new_tokens}: raise it",
                "max_new_tokens", "min_new_tokens",
            )  # fmt: skip
        if "" in self.stop:
            raise OptionError("stop: found an empty string, which every text contains: leave it out", "stop")
        if any(not text.strip() for text in self.choices):
            raise OptionError("choices: found an empty text, expected texts to answer with: leave it out", "choices")
        if self.regex is not None and not _is_pattern(self.regex):
            raise OptionError(f"regex: found {self.regex!r}, expected a pattern such as [0-9]{{4}}", "regex")
        if self.json_schema is not None:
            object.__setattr__(self, JSON_SCHEMA, schema_text(self.json_schema))
        self._check_together()

    def _check_together(self) -> None:
        if self.sampled and self.beam_size > 1:
            raise OptionError(
                f"temperature {self.temperature:g} and beam_size {self.beam_size} were both given: leave one out",
                "temperature", "beam_size",
            )  # fmt: skip
        reasons = {
            "temperature": (not self.sampled, "needs sampling: set temperature above 0, such as 1"),
            "beam_size": (self.beam_size == 1, "needs a beam: set beam_size above 1, such as 4"),
        }
        for option in fields(self):
            lacking, reason = reasons.get(option.metadata.get("needs", ""), (False, ""))
            value = getattr(self, option.name)
            if lacking and value != option.default:
                raise OptionError(f"{option.name} {value} {reason}", option.name, option.metadata["needs"])
        forms = [name for name in _FORMS if getattr(self, name)]
        for name in (*forms[1:], "stop", "min_new_tokens", "no_repeat_ngram_size"):
            if forms and getattr(self, name):
                raise OptionError(f"{forms[0]} and {name} were both given: leave one out", forms[0], name)
        if self.num_hypotheses > self.beam_size:
            raise OptionError(
                f"num_hypotheses {self.num_hypotheses} is more than beam_size {self.beam_size}: raise beam_size",
                "num_hypotheses", "beam_size",
            )  # fmt: skip

    @property
    def sampled(self) -> bool:
        return self.temperature > 0

    @property
    def form(self) -> Form | None:
        """What an answer has to look like; None: anything, or one of the choices."""
        texts = ((REGEX, self.regex), (JSON_SCHEMA, self.json_schema))
        return next((Form(kind, text) for kind, text in texts if isinstance(text, str)), None)

    @property
    def is_greedy(self) -> bool:
        """Whether the greedy loop inside the graph gives the same result."""
        return self == GREEDY

    def check_vocabulary(self, vocabulary_size: int) -> None:
        """Checks the options that may not exceed the vocabulary.

        Raises:
            OptionError: `beam_size` or `top_k` is larger than the vocabulary.
        """
        for name in ("beam_size", "top_k"):
            if getattr(self, name) > vocabulary_size:
                raise OptionError(
                    f"{name} {getattr(self, name)} is larger than the vocabulary of {vocabulary_size} tokens: lower it",
                    name,
                )


def decoding_options(given: Mapping[str, Any]) -> DecodingOptions:
    """Makes options from the keyword arguments of a call.

    Raises:
        UsageError: there is no such option, its value is not allowed, or it needs a package that is not installed.
    """
    known = [option.name for option in fields(DecodingOptions)]
    for name in given:
        if name not in known:
            raise UsageError(
                f"'{name}' is not a decoding option, expected one of {', '.join(known)}{did_you_mean(name, known)}"
            )
    options = DecodingOptions(**given)
    if options.form is not None:
        from textapp.decoding.grammars import check_form  # brings NumPy, and --help starts sooner without it

        check_form(options.form)
    return options


def _strings(name: str, given: Any) -> tuple[str, ...]:
    """One string or several as a tuple."""
    strings = (given,) if isinstance(given, str) else given
    if not isinstance(strings, (list, tuple)) or not all(isinstance(string, str) for string in strings):
        raise OptionError(f"{name}: found {shown(given)}, expected a string or a list of strings", name)
    return tuple(strings)


def _is_pattern(given: Any) -> bool:
    """Whether this may be a regular expression: a text that is not empty and has no halves of characters."""
    return isinstance(given, str) and bool(given) and not any("\ud800" <= each <= "\udfff" for each in given)


def _checked(option: Field[Any], value: Any) -> Any:
    """Returns a value, if NumPy's as Python's own.

    Raises:
        OptionError: it is not a number, or a whole number, in the range of its option.
    """
    if value is None and option.default is None:
        return value
    name, (low, high, whole) = option.name, option.metadata["range"]
    kind = "a whole number" if whole else "a number"
    allowed = f"{kind} from {low:g}" + ("" if high == math.inf else f" to {high:g}")
    number = isinstance(value, numbers.Integral if whole else numbers.Real) and not isinstance(value, bool)
    if not number or not low <= value <= high or value == math.inf:  # NaN is in no range
        raise OptionError(f"{name}: found {shown(value)}, expected {allowed}", name)
    if isinstance(value, (int, float)):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)


GREEDY = DecodingOptions()
