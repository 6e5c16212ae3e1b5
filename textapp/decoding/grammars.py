"""Answers in the form of a regular expression or a JSON schema: masks over the vocabulary, by the package llguidance.

It is imported when an answer has to have a form.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textapp.decoding.options import JSON_SCHEMA, REGEX, Form
from textapp.errors import OptionError, require
from textapp.untrusted import shown

if TYPE_CHECKING:
    from llguidance import LLMatcher

EXTRA = "constraints"
# Nothing is written that the model did not choose: llguidance would else take the tokens of a text without choice.
_FREE = '%llguidance {"no_forcing": true}\n'
# At most one blank between the parts of JSON. Without a limit a weak model writes blanks to the end of its tokens.
_JSON_OPTIONS = {"whitespace_pattern": " ?"}
_BIAS = np.array([-np.inf, 0], np.float32)
_NO_BLANK_FIRST = r"([^ ](?s:.)*)?"
_TRIMMED_LINE = r"(\S(.*\S)?)?"


class Frame(NamedTuple):
    """What becomes of the text of all tokens before it is an answer.

    Attributes:
        drops_blank: a blank in front is left out, as SentencePiece does at the beginning of a text.
        one_line: blanks at both ends and all behind the first line are left out.
    """

    drops_blank: bool = False
    one_line: bool = False


WHOLE = Frame()


class Vocabulary:
    """The pieces of a tokenizer as llguidance knows them; it takes a second and some megabytes to make.

    Args:
        pieces: what each piece writes, by id; empty for special tokens.
        end_ids: the tokens that end a text.

    Attributes:
        size: number of ids.

    Raises:
        UsageError: llguidance is not installed.
    """

    def __init__(self, pieces: Sequence[bytes], end_ids: Iterable[int]) -> None:
        llguidance: Any = require("llguidance", EXTRA)
        ends = list(dict.fromkeys(end_ids))
        known = [b"" if number in ends else piece for number, piece in enumerate(pieces)]
        self.size = len(known)
        self.tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Pieces(known, ends[0])), eos_token=ends)
        self._pieces = known

    @functools.cached_property
    def alphabet(self) -> str:
        """A pattern of all texts of its characters; empty if it can write every character, byte by byte."""
        try:
            characters = {ord(character) for piece in self._pieces for character in piece.decode()}
        except UnicodeDecodeError:
            return ""
        starts = sorted(code for code in characters if code - 1 not in characters)
        ends = sorted(code for code in characters if code + 1 not in characters)
        ranges = (rf"\u{{{start:x}}}-\u{{{end:x}}}" for start, end in zip(starts, ends, strict=True))
        return f"[{''.join(ranges)}]*"

    @functools.cached_property
    def blank_first(self) -> list[int]:
        """The tokens of a text that begins with a blank, behind which something else comes; empty if there is none."""
        blank = next((number for number, piece in enumerate(self._pieces) if piece == b" "), None)
        for number, piece in enumerate(self._pieces):
            if len(piece) > 1 and piece[:1] == b" " and piece[1:].isalnum():
                return [number]
        letter = next((number for number, piece in enumerate(self._pieces) if piece.isalnum()), None)
        return [] if blank is None or letter is None else [blank, letter]


class _Pieces:
    """A tokenizer as `llguidance.TokenizerWrapper` wants it."""

    bos_token_id = None

    def __init__(self, pieces: Sequence[bytes], end_id: int) -> None:
        self.eos_token_id = end_id
        self.special_token_ids = [number for number, piece in enumerate(pieces) if not piece]
        self.tokens = [piece or f"<{number}>".encode() for number, piece in enumerate(pieces)]

    def __call__(self, text: bytes) -> list[int]:
        return []  # would be asked for tokens that are forced; see `_FREE`


class Grammar:
    """Which tokens may come next so that a text keeps to a form.

    Like `Choices` it is asked with all tokens so far, so that hypotheses of a beam may share it; only what they do not
    have in common with the tokens of the last call is read again. Not for several threads: each answer has its own.

    Args:
        vocabulary: of the model.
        form: what an answer has to look like.
        frame: what becomes of the text of all tokens before it is one.

    Raises:
        OptionError: no text of the vocabulary has this form, or the form is too large.

    Example: for `Form("regex", "[0-9]{4}")` the first token is one of digits alone, four at most.
    """

    def __init__(self, vocabulary: Vocabulary, form: Form, frame: Frame = WHOLE) -> None:
        # What the characters of a vocabulary cannot write is left out of a pattern; not possible within JSON.
        alphabet = vocabulary.alphabet if form.kind == REGEX else ""
        self._size = vocabulary.size
        self._start = _matcher(vocabulary, form, _framed(form, frame, alphabet))
        self._matcher, self._read = self._start.deep_copy(), list[int]()
        if not self._mask().any():
            raise _too_large(form, self._matcher) or OptionError(
                f"{form.kind}: found {shown(form.text)}, and the model's vocabulary cannot write such a text: describe "
                "one in the characters of the texts that it was trained on",
                form.kind,
            )

    def fresh(self) -> Grammar:
        """The same for another answer."""
        twin = object.__new__(Grammar)
        twin._size, twin._start = self._size, self._start
        twin._matcher, twin._read = self._start.deep_copy(), []
        return twin

    def restricted(self, logits: np.ndarray, token_ids: Sequence[int]) -> np.ndarray:
        """The logits `[vocabulary]` of the next token, -inf where it may not come behind these tokens."""
        self._go_to(token_ids)
        known = logits[: self._size] + _BIAS.take(self._mask())  # three times as fast as `np.where`
        if len(known) == len(logits):
            return known
        # A preset may have more rows than its tokenizer has pieces.
        return np.concatenate([known, np.full(len(logits) - len(known), -np.inf, known.dtype)])

    def complete(self, token_ids: Sequence[int]) -> bool:
        """Whether these tokens are a text that no token can follow."""
        self._go_to(token_ids)
        return self._matcher.is_stopped()

    def accepts(self, token_ids: Sequence[int]) -> bool:
        """Whether these tokens, without one that ends a text, are a text of the form."""
        self._go_to(token_ids)
        return self._matcher.is_accepting() and not self._matcher.is_error()

    def _mask(self) -> np.ndarray:
        """For each token 1 if it may come next, else 0, `[vocabulary]`."""
        packed = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():  # no token leads to a text of the form; the mask would be that of the end
            return np.zeros(self._size, np.uint8)
        return np.unpackbits(packed, count=self._size, bitorder="little")

    def _go_to(self, token_ids: Sequence[int]) -> None:
        shared = len(self._read)
        if list(token_ids[:shared]) != self._read:  # of another hypothesis
            pairs = enumerate(zip(self._read, token_ids, strict=False))
            shared = next((place for place, (one, other) in pairs if one != other), min(shared, len(token_ids)))
        back = len(self._read) - shared
        if back and not self._matcher.rollback(back):  # it met an error, which it keeps
            self._matcher, shared = self._start.deep_copy(), 0
        self._matcher.consume_tokens(list(token_ids[shared:]))
        self._read = list(token_ids)


def check_form(form: Form) -> None:
    """Checks what answers are to look like.

    Raises:
        OptionError: it cannot be read, is not supported, or nothing satisfies it.
        UsageError: llguidance is not installed.
    """
    _over_bytes(form)


def matches(form: Form, text: str) -> bool:
    """Whether a text has a form.

    Example: `matches(Form("regex", "[0-9]{2,4}"), "1949")` is true.

    Raises:
        OptionError: as `check_form`.
        UsageError: as `check_form`.
    """
    matcher, read = _over_bytes(form).deep_copy(), list(text.encode("utf-8", "surrogatepass"))
    return matcher.try_consume_tokens(read) == len(read) and matcher.is_accepting()


@functools.lru_cache(maxsize=64)
def _over_bytes(form: Form) -> LLMatcher:
    """What reads a text byte by byte."""
    matcher = _matcher(_bytes_alone(), form, _framed(form, WHOLE, ""))
    probe = matcher.deep_copy()
    probe.compute_bitmask()
    if probe.is_error():
        raise _too_large(form, probe) or _unsatisfiable(form, "")
    return matcher


@functools.lru_cache(maxsize=1)
def _bytes_alone() -> Vocabulary:
    return Vocabulary([*(bytes([value]) for value in range(256)), b""], [256])


def _matcher(vocabulary: Vocabulary, form: Form, grammar: str) -> LLMatcher:
    """Compiles a grammar.

    Raises:
        OptionError: it has a fault.
    """
    llguidance: Any = require("llguidance", EXTRA)
    limits = llguidance.LLParserLimits(verbose_errors=False)
    text = llguidance.LLMatcher.grammar_from_lark(grammar)
    matcher: LLMatcher = llguidance.LLMatcher(vocabulary.tokenizer, text, log_level=0, limits=limits)
    if matcher.is_error():
        raise (_regex_fault if form.kind == REGEX else _schema_fault)(form, matcher.get_error())
    return matcher


def _framed(form: Form, frame: Frame, alphabet: str) -> str:
    """The grammar, in the dialect of Lark that llguidance reads, of the texts of all tokens.

    Args:
        form: what an answer has to look like.
        frame: what becomes of these texts before they are one.
        alphabet: a pattern of what the vocabulary can write; empty: anything.
    """
    blank = "/ ?/ " if frame.drops_blank or frame.one_line else ""
    if form.kind == JSON_SCHEMA:
        schema = json.loads(form.text)
        if isinstance(schema, dict):
            schema["x-guidance"] = _JSON_OPTIONS
        return f"{_FREE}start: {blank}answer\nanswer: %json {json.dumps(schema)}\n"
    filters = [_NO_BLANK_FIRST] * frame.drops_blank + [_TRIMMED_LINE] * frame.one_line + [alphabet] * bool(alphabet)
    return f"{_FREE}start: ANSWER\nANSWER: {blank}({' & '.join(map(_terminal, [form.text, *filters]))})\n"


def _terminal(pattern: str) -> str:
    llguidance: Any = require("llguidance", EXTRA)
    return f"/{llguidance.regex_to_lark(pattern, '')}/"


def _regex_fault(form: Form, error: str) -> OptionError:
    """The error for a pattern, from that of llguidance, which marks the place with `^`."""
    reason, _, _ = error.partition("(in regex): ")[2].partition("\n   1 | ")
    mark = re.search(r"^    ( *)\^", reason, re.M)
    found = re.search(r"^error: (.*)", reason, re.M)
    place = f" at character {_character(form.text, len(mark[1]))}" if mark else ""
    reason = found[1] if found else reason.partition(" in regex /")[0] or error
    reason = reason.replace("lookarounds not supported yet; ", "look-around is not supported, as of ")
    return OptionError(
        f"regex: found {shown(form.text)}{place}: {' '.join(reason.split())[:300]}; expected a regular expression that "
        "the whole answer matches, without look-around and backreferences",
        REGEX,
    )


def _character(pattern: str, column: int) -> int:
    """The number of a character, from 1, by its column, from 0, in the pattern as it stands in the grammar."""
    columns = 0
    for place, character in enumerate(pattern):
        if columns >= column:
            return place + 1
        escaped = character == "\n" or (character == "/" and pattern[place - 1 : place] != "\\")
        columns += 1 + escaped
    return len(pattern) + 1


def _schema_fault(form: Form, error: str) -> OptionError:
    """The error for a schema, from that of llguidance."""
    reason = " ".join(error.partition("\n   1 | ")[0].partition("JSON schema: ")[2].split())[:300] or error
    reason = re.sub(r"^regex parse error: (.*?) \^+ error: ", r"the pattern \1: ", reason)
    if found := re.search(r"Unsatisfiable schema: (.*)", reason):
        return _unsatisfiable(form, f" ({found[1]})")
    if found := re.search(r"Unimplemented keys: \[(.*)\]", reason):
        keys = found[1].replace('"', "")
        return OptionError(
            f"json_schema: found the key {keys}, which answers cannot be held to: leave it out, or say it otherwise",
            JSON_SCHEMA,
        )
    if "coerce_one_of" in reason:
        reason = "several parts of oneOf allow the same values; use anyOf"
    return OptionError(f"json_schema: found {shown(form.text)}, which is not supported: {reason}", JSON_SCHEMA)


def _too_large(form: Form, matcher: LLMatcher) -> OptionError | None:
    """The error of a form whose states are too many; None if it met its end for want of tokens."""
    error = matcher.get_error()
    if not error or error.startswith("NoExtension"):
        return None
    reason = " ".join(error.split())[:200]
    return OptionError(f"{form.kind}: found {shown(form.text)}, which is too large ({reason}): simplify it", form.kind)


def _unsatisfiable(form: Form, why: str) -> OptionError:
    what = "text matches it" if form.kind == REGEX else f"value satisfies it{why}"
    return OptionError(f"{form.kind}: found {shown(form.text)}, but no {what}: let it allow something", form.kind)
