"""Names the encoding of bytes that are not UTF-8, from byte order marks, zero bytes and frequent characters."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from textapp.errors import UsageError, did_you_mean

SAMPLE = 1 << 18  # bytes that are looked at
AUTO = "auto"
USUAL_SCRIPTS = 0.9  # share of the characters of UTF-16 or UTF-32
_MIN_WIDE = 4  # characters of UTF-16 or UTF-32 without a mark: two bytes of anything are often a character
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
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # rare where a character is a byte
# Encodings in ASCII: Japanese mail between escapes, Chinese between ~{ and ~}.
_ESCAPED = (
    (re.compile(rb"\x1b\$[@B]"), "iso2022_jp"),
    (re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}"), "hz"),
)
_NEAR = 0.1  # of scores that do not decide
_WESTERN, _MARGIN = "cp1252", 0.03  # by far the most frequent of those that differ in a few letters
# Letters of another alphabet than the Latin one, to be sure of it; two bytes of Thai are also a frequent Chinese one.
_MIN_LETTERS = {"cp874": 16, "cp1251": 4, **dict.fromkeys(("koi8-r", "cp866", "cp1253", "cp1255", "cp1256"), 8)}
_SCORED = 1 << 15  # bytes
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
    """The encoding that a text is most probably in; None if it is no text, or in an encoding that is not known here.

    Args:
        data: the beginning of a file, at most `SAMPLE` bytes; from 32,768 bytes on it may end within a character.

    Example: `likely_encoding("酒店很好".encode("gbk"))` is `gb18030`.
    """
    return next(iter(likely_encodings(data)), None)


def likely_encodings(data: bytes) -> list[str]:
    """The encodings that a text may be in, by names that Python knows, the likeliest first; one if it is sure.

    Args:
        data: as for `likely_encoding`.

    Example: `likely_encodings("olé".encode("cp1252"))` has `cp1252` and others, which have this letter too.
    """
    data = data[:SAMPLE]
    for mark, name in _MARKS:
        if data.startswith(mark):
            return [name]
    for pattern, name in _ESCAPED:
        if pattern.search(data):
            return [name]
    controls = len(CONTROL.findall(data))
    if b"\0" in data or controls > len(data) / 10:
        return _wide(data)
    if decoded(data, "utf-8") is not None:
        return ["utf-8"]
    if controls and (wide := _wide(data)):
        return wide
    scores = {name: _score(data[:_SCORED], name, frequent) for name, frequent in _FREQUENT.items()}
    best = max(scores, key=scores.__getitem__)
    if scores[best] < LIKELY:
        return []
    # Bytes of two that all decode to frequent characters leave no doubt; a letter of one byte is in many encodings.
    if best in DOUBLE_BYTES:
        return [best]
    near = [name for name in scores if name not in DOUBLE_BYTES and scores[name] >= max(LIKELY, scores[best] - _NEAR)]
    return sorted(near, key=lambda name: -scores[name] - _MARGIN * (name == _WESTERN))


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


def decoded(data: bytes, encoding: str) -> str | None:
    """The text, of a sample without a character that is cut off; None if the bytes are not of this encoding."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, len(data) < _SCORED)
    except UnicodeDecodeError:
        return None


def _wide(data: bytes) -> list[str]:
    """UTF-16 or UTF-32 without a mark: the one whose characters are most often of the usual scripts."""
    shares = {}
    for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        text = decoded(data, name)
        if text and len(text) >= _MIN_WIDE:
            shares[name] = sum(1 for character in text if _USUAL_SCRIPTS.match(character)) / len(text)
    best = max(shares, key=shares.__getitem__, default=None)
    return [best] if best and shares[best] >= USUAL_SCRIPTS else []


def _score(data: bytes, encoding: str, frequent: Callable[[str, str], bool]) -> float:
    """The share of the characters beyond ASCII that are frequent in texts of this encoding; 0 if it is another."""
    text = decoded(data, _WIDER.get(encoding, encoding))
    if text is None:
        return 0.0
    pairs = [(before, character) for before, character in zip(" " + text, text, strict=False) if character > "\x7f"]
    if not pairs:
        return 0.0
    if len(pairs) < _MIN_LETTERS.get(encoding, 1):
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


def _letters(frequent_letters: str) -> Callable[[str, str], bool]:
    """Whether a character is one of the most frequent small letters of a script that has no ASCII letters."""

    def frequent(before: str, character: str) -> bool:
        return character in frequent_letters and not (before.isascii() and before.isalpha())

    return frequent


def _accents(letters: str, alone: bool = False) -> Callable[[str, str], bool]:
    """Whether a character is a letter with an accent, or a mark of typography.

    Args:
        letters: the small ones.
        alone: two of them rarely meet.
    """
    both = letters + letters.upper()

    def frequent(before: str, character: str) -> bool:
        if not character.isalpha():
            return character in "’‘“”„–—…«»€£°§©®•¿¡\xa0"
        if alone and before.isalpha() and not before.isascii() and before != "ö":  # größer
            return False
        return character in both and not (character.isupper() and before.islower())

    return frequent


def _thai(before: str, character: str) -> bool:
    """A frequent letter; a vowel above or below stands behind a letter, one at the beginning never behind another."""
    if character in "ัำิีึืุู็่้์":
        return "ก" <= before <= "ฮ" or before in "ัิีึืุู"
    return "ก" <= character <= "ฮ" or character in "ะาเแโใไ"


def _korean(before: str, character: str) -> bool:
    """A syllable, or a mark."""
    return "가" <= character <= "힣" or character in "、。·…―“”‘’《》「」"


_ACCENTS = "éèàçêôîùâëïûüöäßñáíóúãõåøæìòœ"
_RUSSIAN = "оеаинтсрвлкмдпуяыьгзбчй"
# Of equal scores the first is taken.
_FREQUENT: dict[str, Callable[[str, str], bool]] = {
    "cp874": _thai,
    "euc-kr": _korean,
    "gb18030": _leads("gb2312", (0xA1, 0xA3), (0xB0, 0xD7)),  # punctuation, full-width forms; level 1
    "euc-jp": _leads("euc_jp", (0xA1, 0xA5), (0xB0, 0xCF)),  # punctuation, kana; level 1
    "big5": _leads("cp950", (0xA1, 0xA3), (0xA4, 0xC6)),
    "shift_jis": _leads("cp932", (0x81, 0x84), (0x88, 0x97)),
    "cp1251": _letters(_RUSSIAN),
    "koi8-r": _letters(_RUSSIAN),
    "cp866": _letters(_RUSSIAN),
    "cp1253": _letters("αοιετσνηυρπκμλωςγδχθφάέήίόύώ"),
    "cp1255": _letters("אבגדהוזחטיכלמנסעפצקרשתםןךףץ"),
    "cp1256": _letters("ابتثجحخدذرزسشصضطعغفقكلمنهويةىأإ"),
    "cp1252": _accents(_ACCENTS, alone=True),
    "cp1250": _accents("ąćęłńóśźżěščřžýáíéúůťďňőűöüôľĺŕäăâîșşţ"),
    "iso8859-2": _accents("ąćęłńóśźżěščřžýáíéúůťďňőűöüôľĺŕäăâîșşţ"),
    "cp1254": _accents("ğışçöüâîû"),
    "cp1258": _accents("àáâãèéêìíòóôùúăđơưỳ"),
    "mac_roman": _accents(_ACCENTS, alone=True),
    "cp850": _accents(_ACCENTS, alone=True),
}
DOUBLE_BYTES = {"euc-kr", "gb18030", "euc-jp", "big5", "shift_jis"}
