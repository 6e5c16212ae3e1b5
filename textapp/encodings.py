"""Names the encoding of bytes that are not UTF-8, from byte order marks, zero bytes and frequent characters."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from textapp.errors import UsageError, did_you_mean

SAMPLE = 1 << 18  # bytes that are looked at
AUTO = "auto"
USUAL_SCRIPTS = 0.9  # share of the characters of UTF-16 or UTF-32
LIKELY = 0.6  # share of the characters beyond ASCII that must be frequent ones of the encoding's language

_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_USUAL = ("utf-8", "gb18030", "big5", "shift_jis", "euc-kr", "cp1252", "cp1251", "utf-16")
# Latin, Greek, Cyrillic, Hebrew, Arabic, Indic, Thai; punctuation; kana, Han, Hangul, full-width forms.
_USUAL_SCRIPTS = re.compile(
    "[\t\n\r\x20-\x7e\xa0-\u024f\u0370-\u06ff\u0900-\u0eff\u2010-\u2044"
    "\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]"
)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # rare where a character is a byte
_NOT_OF_FILES = ("undefined", "idna", "punycode", "unicode_escape", "raw_unicode_escape")
# As browsers do: the wider one reads all files of the narrower.
_WIDER = {
    "utf-8-sig": "utf-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "big5": "cp950",
    "euc_kr": "cp949",
}


def likely_encoding(data: bytes) -> str | None:
    """The encoding that a text is most probably in.

    Args:
        data: the beginning of a file, at most `SAMPLE` bytes of it are looked at; it may end within a character.

    Returns:
        A name that Python knows, `utf-8` if the bytes are UTF-8; None if they are no text.

    Example: `likely_encoding("酒店很好".encode("gbk"))` is `gb18030`.
    """
    data = data[:SAMPLE]
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    controls = len(_CONTROL.findall(data))
    if b"\0" in data or controls > len(data) / 10:
        return _wide(data)
    if _decoded(data, "utf-8") is not None:
        return "utf-8"
    if controls and (wide := _wide(data)) is not None:
        return wide
    scores = {name: _score(data, name, frequent) for name, frequent in _FREQUENT.items()}
    scores = {name: score for name, score in scores.items() if score >= LIKELY}
    return max(scores, key=scores.__getitem__, default=None)


def text_encoding(name: str, key: str = "encoding") -> str:
    """The encoding that a user names, as Python spells it, or `auto`.

    Args:
        name: such as `GBK`, which is read as `gb18030`, or `auto`.
        key: what the user set, for the error message.

    Raises:
        UsageError: Python has no such encoding, or it is not one of texts.
    """
    if name.strip().lower() == AUTO:
        return AUTO
    try:
        found = codecs.lookup(name.strip()).name
        " ".encode(found)  # a LookupError for codecs that are not of texts, such as hex
    except (LookupError, ValueError):
        found = _NOT_OF_FILES[0]
    if found in _NOT_OF_FILES:
        near = did_you_mean(name.lower(), _USUAL)
        raise UsageError(f"{key}: found {name!r}, expected auto or an encoding such as {', '.join(_USUAL)}{near}")
    return _WIDER.get(found, found)


def _decoded(data: bytes, encoding: str) -> str | None:
    """The text without a character that is cut off at the end; None if the bytes are not of this encoding."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return None


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: the one whose characters are most often of the usual scripts."""
    shares = {}
    for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        text = _decoded(data, name)
        if text:
            shares[name] = sum(1 for character in text if _USUAL_SCRIPTS.match(character)) / len(text)
    best = max(shares, key=shares.__getitem__, default=None)
    return best if best and shares[best] >= USUAL_SCRIPTS else None


def _score(data: bytes, encoding: str, frequent: Callable[[str, str], bool]) -> float:
    """The share of the characters beyond ASCII that are frequent in texts of this encoding; 0 if it is another."""
    text = _decoded(data, _WIDER.get(encoding, encoding))
    if text is None:
        return 0.0
    pairs = [(before, character) for before, character in zip(" " + text, text, strict=False) if character > "\x7f"]
    if not pairs:
        return 0.0
    if encoding == "euc-kr" and text.count(" ") * 20 < len(pairs):  # its syllables are level 1 of Chinese too
        return 0.0
    return sum(1 for before, character in pairs if frequent(before, character)) / len(pairs)


# --- frequent characters -------------------------------------------------------------------------------------------


def _leads(encoding: str, *ranges: tuple[int, int]) -> Callable[[str, str], bool]:
    """Whether the first byte of a character is in one of the ranges that the encoding has for frequent characters."""

    def frequent(_: str, character: str) -> bool:
        try:
            first = character.encode(encoding)[0]
        except UnicodeEncodeError:
            return False
        return any(low <= first <= high for low, high in ranges)

    return frequent


def _cyrillic(before: str, character: str) -> bool:
    """A letter after another, or at the beginning of a word; and no capital within a word."""
    return "А" <= character <= "ё" and not (before.isascii() and before.isalpha()) and not _capital(before, character)


def _western(before: str, character: str) -> bool:
    """A letter with an accent, of which two rarely meet, or a mark of typography."""
    if not character.isalpha():
        return character in "’‘“”–—…«»€£°§©®•¿¡\xa0"
    alone = before.isascii() or not before.isalpha()
    return ("À" <= character <= "ÿ" or character in "ŒœŠšŽžŸ") and alone and not _capital(before, character)


def _capital(before: str, character: str) -> bool:
    return character.isupper() and before.islower()


def _korean(before: str, character: str) -> bool:
    """A syllable, or a mark."""
    return "가" <= character <= "힣" or character in "、。·…―“”‘’《》「」"


# Of equal scores the first is taken.
_FREQUENT: dict[str, Callable[[str, str], bool]] = {
    "euc-kr": _korean,
    "gb18030": _leads("gb2312", (0xA1, 0xA3), (0xB0, 0xD7)),  # punctuation, full-width forms; level 1
    "euc-jp": _leads("euc_jp", (0xA1, 0xA5), (0xB0, 0xCF)),  # punctuation, kana; level 1
    "big5": _leads("cp950", (0xA1, 0xA3), (0xA4, 0xC6)),
    "shift_jis": _leads("cp932", (0x81, 0x84), (0x88, 0x97)),
    "cp1251": _cyrillic,
    "cp1252": _western,
}
