"""SGML and XML -> their segments, one after another: test sets (`<doc>`, `<seg>`) and translation memories (`<tu>`)."""

from __future__ import annotations

import gzip
import html
import re
import zlib
from collections.abc import Callable, Iterator
from html.entities import html5
from pathlib import Path
from typing import NamedTuple, Protocol
from xml.parsers import expat

from textapp.encodings import likely_encoding
from textapp.errors import DataError
from textapp.languages import language_of
from textapp.records.files import UTF_8, Source, kind_of, read_source

KINDS = (".sgm", ".sgml", ".xml", ".tmx")
_LENIENT = (".sgm", ".sgml")
# Elements whose segments are sources, references, or what a system wrote.
_ROLES = {
    "srcset": "source", "src": "source", "refset": "target", "ref": "target", "tstset": "system", "hyp": "system"
}  # fmt: skip
# Role -> the attributes that may name the language of its texts.
_LANGUAGES = {
    "source": ("lang", "xml:lang", "language", "srclang"),
    **dict.fromkeys(("target", "system"), ("lang", "xml:lang", "language", "trglang")),
}
_CODES = ("bpt", "ept", "it", "ph", "ut")  # TMX: elements for the formatting of a text, which is not text itself

_DECLARED = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"']([A-Za-z0-9._-]+)")
_TMX = re.compile(r"<(?:[\w.-]+:)?tmx[\s>]", re.IGNORECASE)
_BEGINS = re.compile(r"\s*<(\?xml|!doctype|srcset|refset|tstset|mteval|tmx|dataset)\b", re.IGNORECASE)
_SEGMENT = re.compile(r"\s*<((seg|tu|tuv)\b|s\s+id\s*=[^<>]*>.*</s>)", re.IGNORECASE)
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);")
_TOKEN = re.compile(
    r"<!--|<!\[CDATA\[|<[!?][^<>]*>|<(?P<end>/?)(?P<tag>[A-Za-z][\w:.-]*)(?P<attributes>(?:\s[^<>]*)?)>"
)
_ENDS = {"<!--": "-->", "<![CDATA[": "]]>"}
_MAY_GO_ON = re.compile(r"[<&\]-]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # characters that XML does not have
_FOREIGN = {
    "xliff": "XLIFF",
    "ts": "a file of Qt",
    "martif": "TBX",
    "tbx": "TBX",
    "html": "a web page",
}  # root elements
_MAX_TAG = 2000  # characters
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'/>]+))")


class Segment(NamedTuple):
    """A text of a test set.

    Attributes:
        line: where it starts, counted from 1.
        document, number: which one it is: attributes of its elements, or their places.
        role: `source`, `target`, `system`; empty if the file does not say it.
        author: the translator, if the file names one.
        language: as `language_of` has it; empty if the file does not say it.
        text: the text in one line.
    """

    line: int
    document: str
    number: str
    role: str
    author: str
    language: str
    text: str


class Unit(NamedTuple):
    """A unit of a translation memory.

    Attributes:
        line: where it starts, counted from 1.
        texts: language as it is written, and text in one line.
    """

    line: int
    texts: list[tuple[str, str]]


def is_memory(path: Path, encoding: str = UTF_8) -> bool:
    """Whether a file is a translation memory, TMX."""
    return kind_of(path) == ".tmx" or (kind_of(path) == ".xml" and bool(_TMX.search(_opened(path, encoding).head)))


def refuse_markup(source: Source) -> None:
    """Checks that a file of texts is no SGML or XML, whose tags would be read as words.

    Raises:
        DataError: its first tag is one of those, or most lines are segments.
    """
    lines = [line for line in source.head.splitlines() if line.strip()]
    if _BEGINS.match(source.head) or 2 * sum(_SEGMENT.match(line) is not None for line in lines) > len(lines):
        sentences = any("</s>" in line for line in lines)  # of a corpus that is paired by line
        mend = "delete the tags, such as with sed -E 's/<[^>]*>//g'" if sentences else "rename it to .sgm, .xml or .tmx"
        raise DataError(
            f"{source.path}: found {lines[0].strip()[:60]!r}, which looks like SGML or XML, expected a text per line:"
            f" {mend}"
        )


def segments(path: Path, encoding: str = UTF_8) -> Iterator[Segment]:
    """Yields the segments of a test set, in order.

    Args:
        path: a file of one of `KINDS`. Stray `&` and `<` are text in SGML, and errors in XML.
        encoding: of the file, if it does not name it.

    Raises:
        DataError: the file cannot be read, is not well-formed, or has no segment.
    """
    yield from _read(path, encoding, _TestSet(path))


def units(path: Path, encoding: str = UTF_8) -> Iterator[Unit]:
    """Yields the units of a translation memory, in order.

    Args:
        path: a TMX file.
        encoding: of the file, if it does not name it.

    Raises:
        DataError: as for `segments`.
    """
    yield from _read(path, encoding, _Memory(path))


def source_language(path: Path, encoding: str = UTF_8) -> str:
    """The source language that the header of a TMX file names; `*all*` or an empty string if it names none."""
    header = re.search(
        r"<(?:[\w.-]+:)?header\b[^<>]*?\bsrclang\s*=\s*[\"']([^\"']*)", _opened(path, encoding).head, re.IGNORECASE
    )
    return header[1] if header else ""


# --- reading -------------------------------------------------------------------------------------------------------


class _Builder(Protocol):
    """What collects the texts of a file from its elements.

    Attributes:
        found: what is complete, and not taken yet.
        open: the elements that are not closed yet.
        wanted: what the file must have, for the error if it has none.
    """

    found: list
    open: list[str]
    wanted: str

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None: ...

    def text(self, text: str) -> None: ...

    def end(self, tag: str, line: int) -> None: ...


def _read(path: Path, encoding: str, builder: _Builder) -> Iterator:
    source = _opened(path, encoding)
    feed = _sgml(path, builder) if kind_of(path) in _LENIENT else _xml(path, builder)
    count = 0
    for piece, final in _with_end(source.pieces()):
        feed(piece, final)
        yield from builder.found
        count += len(builder.found)
        builder.found.clear()
    if builder.open:
        raise DataError(f"{path}: the file ends without </{builder.open[-1]}>: it is cut off: save or copy it again")
    if not count:
        raise DataError(f"{path}: has no {builder.wanted}; expected a test set with <seg>, or a TMX file with <tu>")


def _with_end(pieces: Iterator[str]) -> Iterator[tuple[str, bool]]:
    for piece in pieces:
        yield piece, False
    yield "", True


def _opened(path: Path, encoding: str) -> Source:
    return read_source(path, _encoding(path, encoding))


def _encoding(path: Path, encoding: str) -> str:
    """The encoding of a file: by its mark or its declaration, else the given one."""
    try:
        with path.open("rb") as stored:
            packed = path.name.lower().endswith(".gz")
            head = (gzip.GzipFile(fileobj=stored) if packed else stored).read(1 << 16)
    except (OSError, EOFError, zlib.error):  # is reported when the file is read
        return encoding
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-32" if head.startswith(b"\xff\xfe\0\0") else "utf-16"
    if head[:4] in (b"<\0?\0", b"\0<\0?"):
        return "utf-16-le" if head[0] else "utf-16-be"
    declared = _DECLARED.search(head[:1000])
    if encoding != UTF_8 or declared is None or likely_encoding(head) == UTF_8:
        return encoding
    name = declared[1].decode("ascii")
    return encoding if name.lower().startswith(("utf-16", "utf-32")) else name  # it was converted since


def _one_line(pieces: list[str]) -> str:
    return " ".join(filter(None, map(str.strip, "".join(pieces).split("\n"))))


def _xml(path: Path, builder: _Builder) -> Callable[[str, bool], None]:
    """A function that parses XML piece by piece."""
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(name: str, *_: object) -> None:
        raise DataError(
            f"{path}:{parser.CurrentLineNumber}: declares the entity {name!r}, which is refused, because entities can"
            f" grow without bounds: write its text where it is used"
        )

    def skipped(name: str, is_parameter: bool) -> None:
        if not is_parameter:
            raise DataError(f"{path}:{parser.CurrentLineNumber}: found &{name};, which is not XML: write the character")

    parser.EntityDeclHandler = refuse
    parser.SkippedEntityHandler = skipped

    def local_name(tag: str) -> str:  # without the prefix of a namespace
        return tag.rpartition(":")[2].lower()

    def start(tag: str, attributes: dict[str, str]) -> None:
        line = parser.CurrentLineNumber
        name = local_name(tag)
        if name in _FOREIGN:
            raise DataError(
                f"{path}:{line}: found <{tag[:40]}>, which is {_FOREIGN[name]}, expected a test set with <seg>, or TMX:"
                f" export it as TMX from the translation program, or as a table with the columns source and target"
            )
        builder.start(name, {name.lower(): value for name, value in attributes.items()}, line)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda tag: builder.end(local_name(tag), parser.CurrentLineNumber)
    parser.CharacterDataHandler = builder.text

    def feed(piece: str, final: bool) -> None:
        try:
            parser.Parse(piece, final)
        except expat.ExpatError as error:
            fault = expat.ErrorString(error.code)
            raise DataError(f"{path}:{error.lineno}: not XML ({fault}): {_mend(path, fault, piece)}") from error

    return feed


def _mend(path: Path, fault: str, piece: str) -> str:
    control = _CONTROL.search(piece)
    if fault == expat.errors.XML_ERROR_BAD_CHAR_REF:
        return "delete the number of a character (&#...;) there: XML has no such character"
    if fault == expat.errors.XML_ERROR_INVALID_TOKEN and control is not None:
        return f"delete the control character U+{ord(control[0]):04X}"
    if fault in (expat.errors.XML_ERROR_NO_ELEMENTS, expat.errors.XML_ERROR_UNCLOSED_TOKEN):
        return "the file is cut off: save or copy it again"
    lenient = "" if kind_of(path) == ".tmx" else ", or rename the file to .sgm, in which stray ones are text"
    return f"write & as &amp; and < as &lt; in texts, and close every element{lenient}"


def _sgml(path: Path, builder: _Builder) -> Callable[[str, bool], None]:
    """A function that parses SGML piece by piece: what is no tag is text."""
    rest, line, until = "", 1, ""  # until: the end of the open comment or CDATA section

    def take(text: str) -> None:
        nonlocal line
        if until != "-->":
            builder.text(text if until else _unescaped(text))
        line += text.count("\n")

    def feed(piece: str, final: bool) -> None:
        nonlocal rest, line, until
        text, done = rest + piece, 0
        while True:
            if until:
                end = text.find(until, done)
                if end < 0:
                    break
                take(text[done:end])
                done, until = end + len(until), ""
                continue
            token = _TOKEN.search(text, done)
            if token is None:
                break
            take(text[done : token.start()])
            until, done = _ENDS.get(token[0], ""), token.end()
            if token[0].upper().startswith("<!ENTITY"):
                raise DataError(f"{path}:{line}: declares an entity, which is refused: write its text where it is used")
            if token["end"]:
                builder.end(token["tag"].lower(), line)
            elif token["tag"]:
                builder.start(token["tag"].lower(), _attributes(token["attributes"][:_MAX_TAG]), line)
            line += token[0].count("\n")
        # A tag, an entity or the end of a comment may go on in the next piece.
        begun = _MAY_GO_ON.search(text, max(done, len(text) - _MAX_TAG))
        cut = len(text) if final or begun is None else begun.start()
        take(text[done:cut])
        rest = text[cut:]
        if final and until:
            raise DataError(f"{path}: the file ends without {until}: it is cut off: save or copy it again")

    return feed


def _attributes(text: str) -> dict[str, str]:
    return {
        name.lower(): _unescaped(double or single or bare) for name, double, single, bare in _ATTRIBUTE.findall(text)
    }


def _unescaped(text: str) -> str:
    """The text with characters for entities; `&` without a known name and a semicolon stays as it is."""
    return _ENTITY.sub(lambda found: _character(found[0], found[1]), text)


def _character(written: str, name: str) -> str:
    return html.unescape(written) if name[0] == "#" or f"{name};" in html5 else written


# --- elements ------------------------------------------------------------------------------------------------------


class _TestSet:
    """Collects the segments of the sets of WMT, IWSLT and NIST."""

    wanted = "<seg>"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[Segment] = []
        self.open: list[str] = []
        self.inside: list[str] | None = None
        self._documents = 0
        self._document, self._role, self._author, self._language = "", "", "", ""
        self._line, self._number, self._count = 0, "", 0

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        if tag in ("seg", "doc", *_ROLES):
            self.open.append(tag)
        if tag == "seg":
            if self.inside is not None:
                raise self._unclosed("<seg>", line)
            self._count += 1
            self._number = attributes.get("id", str(self._count)).strip()
            self._line, self.inside = line, []
        elif tag == "doc":
            self._documents += 1
            self._document = attributes.get("docid", attributes.get("id", f"number {self._documents}"))
            self._author, self._count = attributes.get("sysid", ""), 0
        elif tag in _ROLES:
            self._role, self._count = _ROLES[tag], 0
            self._author = attributes.get("translator", attributes.get("system", ""))
            languages = (language_of(attributes.get(name, "")) for name in _LANGUAGES[self._role])
            self._language = next(filter(None, languages), "")

    def text(self, text: str) -> None:
        if self.inside is not None:
            self.inside.append(text)

    def end(self, tag: str, line: int) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        if tag == "seg" and self.inside is not None:
            self.found.append(
                Segment(
                    self._line,
                    self._document,
                    self._number,
                    self._role,
                    self._author,
                    self._language,
                    _one_line(self.inside),
                )  # fmt: skip
            )
            self.inside = None
        elif tag == "doc":
            self._document = ""
        elif tag in _ROLES:
            self._role = self._language = ""
        if tag in ("doc", *_ROLES) and self.inside is not None:
            raise self._unclosed(f"</{tag}>", line)

    def _unclosed(self, found: str, line: int) -> DataError:
        return DataError(
            f"{self.path}:{line}: found {found} in the segment of line {self._line}: write </seg> before it"
        )


class _Memory:
    """Collects the units of TMX."""

    wanted = "<tu>"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[Unit] = []
        self.open: list[str] = []  # the parser checks that
        self.inside: list[str] | None = None
        self._unit, self._in_unit = Unit(0, []), False
        self._language = ""
        self._codes = 0  # open elements whose content is no text

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        if tag in ("tu", "tuv") and (tag == "tuv") != self._in_unit:
            place = "outside of" if tag == "tuv" else "inside"
            raise DataError(
                f"{self.path}:{line}: found <{tag}> {place} <tu>, expected <tu> with a <tuv> for each language"
            )
        if tag == "tu":
            self._unit, self._in_unit = Unit(line, []), True
        elif tag == "tuv":
            self._language = attributes.get("xml:lang", attributes.get("lang", "")).strip()
            if not self._language:
                raise DataError(f"{self.path}:{line}: found <tuv> without a language; expected xml:lang")
        elif tag == "seg":
            self.inside = []
        elif tag in _CODES or self._codes:
            self._codes += 1

    def text(self, text: str) -> None:
        if self.inside is not None and not self._codes:
            self.inside.append(text)

    def end(self, tag: str, line: int) -> None:
        if tag == "seg" and self.inside is not None:
            self._unit.texts.append((self._language, _one_line(self.inside)))
            self.inside, self._codes = None, 0
        elif tag == "tu":
            self.found.append(self._unit)
            self._in_unit = False
        elif self._codes:
            self._codes -= 1
