"""Hypothesis strategies for files that people have, and for the damage that happens to them."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st

ENCODINGS = ("utf-8", "utf-8-sig", "gb18030", "shift_jis", "cp1252", "utf-16", "utf-16-le", "utf-32")
LINE_ENDS = ("\n", "\r\n", "\r")
# What a damaged, or a strange, file has where nobody expects it.
TOKENS = (
    "\0",
    '"',
    "'",
    "\n",
    "\r",
    "\r\n",
    "\t",
    ",",
    ";",
    "\\",
    '\\"',
    '""',
    " ",
    "\ufeff",
    "\n\n",
    '"\n',
    '",',
    "|",
    "[",
    "]",
    "{",
    "}",
    ":",
    "[" * 2000,
    '{"a":' * 1000,
    "9" * 5000,
    "NaN",
    "1e999",
    "null",
    "\\ud800",
    "[]",
    "{}",
    "[1, [2]]",
    "<seg>",
    "</seg>",
    "<tu>",
    "<!--",
    "<![CDATA[",
    "&amp",
    "&#0;",
    "&#x110000;",
    "__label__",
    "__label__a,",
    "sep=;\n",
    "\x1a",
    "\x1b[2J",
    "\u200b",
    "\ufdd0",
    "\ufdd1",
    "\ufdd2",
    "\x85",
    "\u2028",
    "\x0b\x0c\x1c",
    "text,label\n",
    "['a', 'b']",
    "- ",
    "? ",
    "&a ",
    "*a",
    "!!python/object:os.system ",
    "%YAML 9\n",
    "---\n",
    "| \n",
    "> \n",
    "2001-99-99",
    "0x",
    "1:30",
)
BYTES = (b"\0", b"\xff", b"\x80", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xd8\x00", b"\n", b"\r", b'"', b"\x1f\x8b")

text_cells = st.one_of(
    st.sampled_from(
        [
            "good",
            "great, really",
            'a "fine" one',
            '27"',
            "it's",
            "酒店很好",
            "très bien",
            "a;b",
            "\\",
            " x ",
            "1",
            "0",
            "text",
            "a\tb",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
)
labels = st.sampled_from(["pos", "neg"] * 8 + ["a", "0", "1", "a|b", "['a', 'b']", "a;b", "Target"])
flags = st.sampled_from(["0", "1", "1", "1.0", ""])


class Damaged(NamedTuple):
    """A file.

    Attributes:
        name, content: of the file.
        encoding: that it was written in.
        header: of the table that it was before.
    """

    name: str
    content: bytes
    encoding: str
    header: list[str]


class Table(NamedTuple):
    """A file before it is damaged.

    Attributes:
        extension: with its dot.
        text: its content.
    """

    extension: str
    text: str


# --- well-formed files -----------------------------------------------------------------------------------------------


def as_csv(rows: Sequence[Sequence[str]], delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)
    return file.getvalue()


def _csv(rows: list[list[str]], draw: st.DrawFn) -> Table:
    delimiter = draw(st.sampled_from([",", ",", ";", "\t"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    text = as_csv(rows, delimiter, quoting)
    before = draw(st.sampled_from(["", "", f"sep={delimiter}\n"]))
    return Table(".csv", before + (text.replace('""', '\\"') if draw(st.integers(0, 5)) == 0 else text))


def _tsv(rows: list[list[str]], draw: st.DrawFn) -> Table:
    if draw(st.booleans()):
        return Table(".tsv", as_csv(rows, "\t"))
    return Table(".tsv", "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows))


def _objects(rows: list[list[str]], draw: st.DrawFn) -> list[dict[str, Any]]:
    header, *data = rows
    form = draw(st.sampled_from(["flat", "flat", "lists", "nested"] + ["languages"] * ("label" not in header)))
    objects: list[dict[str, Any]] = [dict(zip(header, row, strict=True)) for row in data]
    if form == "lists":
        return [{name: cell.split(" ") for name, cell in each.items()} for each in objects]
    if form == "nested":
        return [{"row": each, **each} for each in objects]
    return [{"translation": each} for each in objects] if form == "languages" else objects


def _json(rows: list[list[str]], draw: st.DrawFn) -> Table:
    objects = _objects(rows, draw)
    indent, plain = draw(st.sampled_from([None, 1])), draw(st.booleans())
    dump = lambda value: json.dumps(value, indent=indent, ensure_ascii=plain)  # noqa: E731
    forms: list[Callable[[], str]] = [
        lambda: dump(objects),
        lambda: dump({"data": objects}),
        lambda: "\n".join(map(dump, objects)),
        lambda: "".join(json.dumps(each, ensure_ascii=plain) + "\n" for each in objects),
    ]
    return Table(draw(st.sampled_from([".json", ".jsonl"])), draw(st.sampled_from(forms))())


def _lines(rows: list[list[str]], draw: st.DrawFn) -> Table:
    form = draw(
        st.sampled_from(["fasttext"] * 4 + ["first"] if rows[0][-1] in ("label", "text") else ["tabs"] * 4 + ["first"])
    )
    data = [[" ".join(cell.split()) for cell in row] for row in rows[1:]]
    line = {"fasttext": lambda row: f"__label__{row[-1]} {row[0]}", "tabs": "\t".join, "first": lambda row: row[0]}[
        form
    ]
    return Table(".txt", "".join(line(row) + "\n" for row in data))


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).replace("&", "&amp;").replace("<", "&lt;")


def _test_set(rows: list[list[str]], draw: st.DrawFn) -> Table:
    def segments(place: int) -> str:
        return "".join(f'<seg id="{n}">{_escaped(row[place])}</seg>\n' for n, row in enumerate(rows[1:], start=1))

    sides = (
        f"<src>{segments(0)}</src><ref>{segments(-1)}</ref>"
        if draw(st.booleans())
        else f"<srcset>{segments(0)}</srcset>"
    )
    return Table(draw(st.sampled_from([".sgm", ".xml"])), f'<dataset><doc docid="d">{sides}</doc></dataset>\n')


def _memory(rows: list[list[str]], draw: st.DrawFn) -> Table:
    languages = draw(st.sampled_from([("en", "de"), ("en-US", "zh-CN"), ("EN", "en")]))
    units = "".join(
        "<tu>" + "".join(
            f'<tuv xml:lang="{tag}"><seg>{_escaped(cell)}</seg></tuv>'
            for tag, cell in zip(languages, (row[0], row[-1]), strict=True)
        ) + "</tu>\n"
        for row in rows[1:]
    )  # fmt: skip
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4"><header srclang="{languages[0]}"/><body>\n'
    return Table(draw(st.sampled_from([".tmx", ".xml"])), f"{head}{units}</body></tmx>\n")


@st.composite
def tables(draw: st.DrawFn, header: list[str], markup: bool = False) -> Table:
    """A file with a few rows below a header, in one of the forms that people have."""
    cell = [labels if name == "label" else flags if name in ("toxic", "insult") else text_cells for name in header]
    rows = draw(st.lists(st.tuples(*cell).map(list), min_size=draw(st.sampled_from([0, 3, 6])), max_size=10))
    if draw(st.booleans()):
        rows = rows * draw(st.integers(2, 6))  # labels that repeat
    rows = [header, *rows] if draw(st.integers(0, 3)) else rows or [header]
    kinds = [_csv, _csv, _tsv, _json, _json, _lines] + [_test_set, _memory] * markup
    return draw(st.sampled_from(kinds))(rows, draw)


# --- damage ----------------------------------------------------------------------------------------------------------

Content = TypeVar("Content", str, bytes)
FEW = (0, 1, 1, 1, 2, 4)


@st.composite
def damaged(draw: st.DrawFn, content: Content, put_in: Sequence[Content], most: Sequence[int] = FEW) -> Content:
    """A text, or bytes, after some accidents: parts that are lost, doubled, moved or put in."""
    for _ in range(draw(st.sampled_from(most))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        end = min(len(content), at + draw(st.integers(1, 20)))
        kind = draw(st.sampled_from(["lose", "double", "put", "put", "put", "cut", "move"]))
        if kind == "lose":
            content = content[:at] + content[end:]
        elif kind == "double":
            content = content[:end] + content[at:end] * draw(st.sampled_from([1, 1, 50])) + content[end:]
        elif kind == "cut":
            content = content[:at]
        elif kind == "move":
            content = content[end:] + content[at:end] + content[:at]
        else:
            content = content[:at] + draw(st.sampled_from(put_in)) + content[at:]
    return content


@st.composite
def flipped(draw: st.DrawFn, data: bytes, most: int = 3) -> bytes:
    """The bytes after some of their bits flipped."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, most)) if data else 0):
        changed[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(changed)


@st.composite
def damaged_files(draw: st.DrawFn, headers: Sequence[Sequence[str]], markup: bool = False) -> Damaged:
    """A table with one of these headers that is damaged, or any bytes."""
    header = list(draw(st.sampled_from(headers)))
    if draw(st.integers(0, 19)) == 0:
        extensions = [".csv", ".tsv", ".json", ".jsonl", ".txt"] + [".sgm", ".xml", ".tmx"] * markup
        return Damaged(f"a{draw(st.sampled_from(extensions))}", draw(st.binary(max_size=200)), "utf-8", header)
    table = draw(tables(header, markup))
    end, encoding = draw(st.sampled_from(LINE_ENDS)), draw(st.sampled_from((*["utf-8"] * 6, *ENCODINGS)))
    text = draw(damaged(table.text.replace("\n", end), TOKENS))
    data = text.encode(encoding, "replace")
    if draw(st.integers(0, 3)) == 0:
        data = draw(flipped(draw(damaged(data, BYTES))))
    if draw(st.integers(0, 9)) == 0:
        packed = gzip.compress(data, mtime=0)
        packed = draw(st.one_of(st.just(packed), flipped(packed)))
        return Damaged(f"a{table.extension}.gz", packed, encoding, header)
    return Damaged(f"a{table.extension}", data, encoding, header)


# --- JSON ------------------------------------------------------------------------------------------------------------

DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]
VALUES = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        7,
        2**31,
        2**70,
        10**9,
        0.5,
        -0.0,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\0",
        "\ud800",
        "a\nb",
        "x" * 100_000,
        "../x",
        "litert",
        "é",
        [],
        {},
        [[]],
        [0],
        [16, 32],
        [10**9],
        ["a", "a"],
        {"": {}},
        {"a": None},
        DEEP,
        list(range(5000)),
    ]
)


@st.composite
def damaged_json(draw: st.DrawFn, content: Any) -> str:
    """JSON in which some values are replaced, lost, doubled or renamed."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        holder, key, depth = content, None, draw(st.integers(1, 4))
        for _ in range(depth):
            inner = holder if key is None else holder[key]
            if not isinstance(inner, dict | list) or not inner:
                break
            holder = inner
            key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        if key is None:
            break
        kind = draw(st.sampled_from(["value", "value", "lose", "other", "rename"]))
        if kind == "value":
            holder[key] = copy.deepcopy(draw(VALUES))
        elif kind == "lose":
            del holder[key]
        elif kind == "other":  # the value of a neighbour
            places = list(holder) if isinstance(holder, dict) else range(len(holder))
            holder[key] = copy.deepcopy(holder[draw(st.sampled_from(list(places)))])
        elif isinstance(holder, dict):
            holder[draw(st.sampled_from(["x", "", "pad_id", "0"]))] = holder.pop(key)
    return json.dumps(content)
