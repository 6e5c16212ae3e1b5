"""The bytes that each piece of a vocabulary writes, which may be a part of a character."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textapp.errors import UsageError

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer

BLANK = "\u2581"  # how SentencePiece writes a blank
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_PROBE = "天气 😀 naïve"  # characters of one to four bytes, of which byte pieces write parts
_CHUNK = 256  # pieces that are decoded at once


class Spelling(NamedTuple):
    """How the pieces of a vocabulary are written.

    Attributes:
        byte_level: each character stands for a byte, as in GPT-2.
        byte_pieces: `<0xE5>` is a piece of one byte.
        blanks: `BLANK` is a blank.
    """

    byte_level: bool = False
    byte_pieces: bool = False
    blanks: bool = False

    def bytes_of(self, piece: str) -> bytes:
        """What a piece writes.

        Example: with `byte_level` that of `Ġå¤©` is the UTF-8 of ` 天`, with `byte_pieces` that of `<0xE5>` is E5.
        """
        if self.byte_level:
            values = [_byte_values().get(character) for character in piece]
            # The package `tokenizers` leaves a piece as it is that has any other character, such as an added token.
            return piece.encode() if None in values else bytes(value for value in values if value is not None)
        if self.byte_pieces and (found := _BYTE.fullmatch(piece)):
            return bytes([int(found[1], 16)])
        return (piece.replace(BLANK, " ") if self.blanks else piece).encode("utf-8", "replace")


SENTENCEPIECE = Spelling(byte_pieces=True, blanks=True)


def spelling_of(decoder: Mapping[str, Any] | None) -> Spelling:
    """How the pieces of a tokenizer.json are written.

    Args:
        decoder: its part `decoder`.
    """
    steps = [step for step in _steps(decoder) if isinstance(step, Mapping)]
    kinds = {step.get("type") for step in steps}
    replaced = any(step.get("pattern") == {"String": BLANK} and step.get("content") == " " for step in steps)
    return Spelling("ByteLevel" in kinds, "ByteFallback" in kinds, "Metaspace" in kinds or replaced)


def checked_piece_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of each piece, by id; empty for a special token.

    Raises:
        UsageError: the tokenizer makes another text of pieces than what they write one after another; but for blanks
            in front, which many drop.
    """
    found = tokenizer.piece_bytes()
    whole = [token_id for token_id, piece in enumerate(found) if piece and _is_text(piece)]
    order = np.random.default_rng(0).permutation(whole).tolist()  # pieces of all kinds beside each other
    chunks = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
    probe = tokenizer.ids(_PROBE)
    if all(found[token_id] for token_id in probe):  # else it has characters that are unknown
        chunks.append(probe)
    if not chunks or not all(_same(tokenizer, found, chunk) for chunk in chunks):
        raise UsageError(
            f"this model's tokenizer ({tokenizer.kind}) does not write its pieces one after another, as regex and "
            "json_schema need it: use choices, or a model with SentencePiece or byte-level BPE"
        )
    return found


def _same(tokenizer: Tokenizer, found: Sequence[bytes], ids: Sequence[int]) -> bool:
    text = b"".join(found[token_id] for token_id in ids).decode("utf-8", "replace")
    return tokenizer.decode(ids).lstrip(" ") == text.lstrip(" ")


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _steps(decoder: Any) -> list[Any]:
    if isinstance(decoder, Mapping) and isinstance(decoder.get("decoders"), list):
        return [step for part in decoder["decoders"] for step in _steps(part)]
    return [decoder]


@cache
def _byte_values() -> dict[str, int]:
    """The byte of each character of byte-level BPE (Radford et al., 2019): printable ones stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    return {chr(value): value for value in printable} | {chr(256 + place): value for place, value in enumerate(others)}
