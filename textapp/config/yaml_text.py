"""YAML as configs use it: plain values, and the line of each key.

Numbers are those of YAML 1.2 (`1e-3` is one, `1:30` and `010` are none) and a date is text, so both stay as they were
written. Booleans are those of YAML 1.1, in which `no` is one; `Place.word` keeps the word for messages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

from textapp.config.parts import shown
from textapp.errors import ConfigError

MAX_DEPTH = 50
MAX_NODES = 20_000  # keys and values, which PyYAML reads in about a second
_TAG = "tag:yaml.org,2002:"
_PLAIN = {  # type -> the words that are of it
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)"),
    "int": re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,30}|0x[0-9a-fA-F]{1,16})"),
    "float": re.compile(
        r"[-+]?(?:(?:[0-9][0-9_]{0,300})(?:\.[0-9]{0,300})?(?:[eE][-+]?[0-9]{1,5})|[0-9][0-9_]{0,300}\.[0-9]{0,300}"
        r"|\.[0-9]{1,300}(?:[eE][-+]?[0-9]{1,5})?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
    ),
}
_SPACES = "\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000\ufeff"  # that are none in YAML
# A line with another space in its indentation, or with another colon or space behind its key.
_ODD = re.compile(
    rf"^[ \t]*(?:- +)*(?:(?P<indent>[{_SPACES}])|[A-Za-z_][\w.]{{0,60}}[ ]*(?::(?P<space>[{_SPACES}])|(?P<colon>：)))",
    re.M,
)
# Part of PyYAML's message -> what to do.
_MENDS = {
    "while scanning an alias": "write a value that begins with * in quotes, such as '*.csv'",
    "while scanning an anchor": "write a value that begins with & in quotes",
    "cannot start any token": "write a value that begins with this character in quotes",
    "unknown escape character": r"a backslash in double quotes begins an escape: write 'C:\data' in single quotes",
    "expected escape sequence": r"a backslash in double quotes begins an escape: write 'C:\data' in single quotes",
    "mapping values are not allowed": "indent keys of one level equally, and write a value with ': ' in it in quotes",
    "expected <block end>": "indent keys of one level equally, and write a value that begins with a quote or a bracket"
    " in quotes as a whole",
    "could not find expected ':'": "expected key: value, with a space after the colon",
    "single document": "expected one document: leave out the line --- and what follows it",
    "while scanning a quoted scalar": "close the quotes",
    "while parsing a flow": "close the bracket, and write a value that contains brackets or commas in quotes",
}


class Place(NamedTuple):
    """Where a key or the item of a list stands.

    Attributes:
        where: the file and line, or the option.
        word: its value as it was written, if that was without quotes and is no text.
    """

    where: str
    word: str | None = None


class Document(NamedTuple):
    """What a YAML text holds.

    Attributes:
        value: dicts with texts as keys, lists, texts, numbers, booleans and None.
        places: dotted key (`data.columns.text`, `lengths.0`) -> its place.
    """

    value: Any
    places: dict[str, Place]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Stops at what a config has no use for before it can grow: aliases, deep nesting, files of data."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    depth = nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if getattr(event, "anchor", None):
            mark = "*" if isinstance(event, yaml.AliasEvent) else "&"
            name = f"{mark}{event.anchor}"
            mend = "write the value out; if it is a text, put it in quotes"
            raise _Refused(event, f"found {shown(name)}, an alias or anchor, which configs do not have: {mend}")
        if self.depth >= MAX_DEPTH:
            raise _Refused(event, f"found more than {MAX_DEPTH} levels of lists or keys, expected at most 4")
        if self.nodes >= MAX_NODES:
            found = f"found more than {MAX_NODES:,} keys and values"
            raise _Refused(event, f"{found}, expected a config; is it a file of data?")
        self.nodes += 1
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Puts texts in quotes that `_Loader` would read as numbers, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> Any:
        # Within other quotes PyYAML reads these line ends as blanks, and without any quotes `_ODD` refuses the others.
        style = '"' if re.search(f"[\n\x85\u2028\u2029：{_SPACES}]", data) else None
        return self.represent_scalar(f"{_TAG}str", data, style=style)


for _name, _words in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_words.pattern})\Z"), None)
_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.add_implicit_resolver(_TAG + "float", re.compile(rf"(?:{_PLAIN['float'].pattern})\Z"), None)


class _Refused(Exception):
    """Something that is YAML, but not of a config, at an event or a node."""

    def __init__(self, at: Any, message: str) -> None:
        super().__init__(message)
        self.line: int = at.start_mark.line + 1


def read_yaml(text: str, where: Callable[[int], str]) -> Document:
    """Reads one document.

    Args:
        text: the YAML.
        where: how messages name a line, given its number from 1.

    Raises:
        ConfigError: it is not YAML, has a key twice, an alias, an unknown tag, or is nested deeply, or a line has a
            wide colon, or another space than YAML knows in its indentation or behind its key.

    Example: `read_yaml("data: {header: no}", "line {}".format)` has the value `{"data": {"header": False}}` and the
    places `{"data": Place("line 1"), "data.header": Place("line 1", "no")}`.
    """
    odd = _ODD.search(text.removeprefix("\ufeff"))
    if odd is not None:
        raise ConfigError(f"{where(text.count(chr(10), 0, odd.end()) + 1)}: {_oddity(odd)}")
    places: dict[str, Place] = {}
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        value = None if node is None else _value(node, "", places, where)
    except _Refused as refused:
        raise ConfigError(f"{where(refused.line)}: {refused}") from refused
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"U+{error.character:04X}" if isinstance(error.character, int) else shown(error.character)
        raise ConfigError(f"{where(line)}: found the control character {found}, expected text: delete it") from error
    except yaml.YAMLError as error:
        raise ConfigError(_not_yaml(error, text, where)) from error
    except (ValueError, OverflowError) as error:  # a character's number that is too large, in double quotes
        line = loader.line + 1 if loader else 1
        raise ConfigError(f"{where(line)}: not YAML: found an escape that is no character: check it") from error
    return Document(value, places)


def _oddity(found: re.Match[str]) -> str:
    if found["colon"]:
        return "found ： (U+FF1A), expected : and a space behind it"
    place = "in the indentation" if found["indent"] else "behind the colon"
    return f"found U+{ord(found['indent'] or found['space']):04X} {place}, expected spaces: write them again"


def write_yaml(value: Any) -> str:
    """YAML that `read_yaml` reads back equal."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=math.inf)


def _value(node: Any, name: str, places: dict[str, Place], where: Callable[[int], str]) -> Any:
    """The value of a node; the places of what is below it go into `places`."""
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
        return _mapping(node, name, places, where)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        items = []
        for number, item in enumerate(node.value):
            below = f"{name}.{number}" if name else str(number)
            places[below] = _place(item, item, where)
            items.append(_value(item, below, places, where))
        return items
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    raise _tagged(node)


def _mapping(node: Any, name: str, places: dict[str, Place], where: Callable[[int], str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key_node, item in node.value:
        key, line = _key(key_node), key_node.start_mark.line + 1
        if key in lines:
            above = f" of {shown(name)}" if name else ""
            first = f", first in line {lines[key]}" if lines[key] != line else ""
            raise _Refused(key_node, f"found the key {shown(key)}{above} a second time{first}: leave one of them out")
        lines[key] = line
        below = f"{name}.{key}" if name else key
        places[below] = _place(key_node, item, where)
        values[key] = _value(item, below, places, where)
    return values


def _key(node: Any) -> str:
    """A key as it was written: `0`, `007` and `2024-01-01` are names too."""
    if not isinstance(node, yaml.ScalarNode):
        raise _Refused(node, "found a list or keys in place of a key, expected a name")
    value = _scalar(node)
    word: str = node.value
    if (value is None or isinstance(value, bool)) and word not in ("true", "false"):
        kind = "nothing" if value is None else f"the boolean {str(value).lower()}"
        raise _Refused(node, f"found the key {word}, which YAML reads as {kind}: write '{word}' in quotes")
    return word


def _scalar(node: Any) -> Any:
    word, tag = node.value, node.tag.removeprefix(_TAG)
    if tag == "str":
        return word
    if tag not in _PLAIN or not _PLAIN[tag].fullmatch(word):
        raise _tagged(node)
    if tag == "null":
        return None
    if tag == "bool":
        return word.lower() in ("yes", "true", "on")
    digits = word.replace("_", "").lower()
    if tag == "int":
        return int(digits, 16 if "x" in digits else 10)
    return float(digits.replace(".inf", "inf").replace(".nan", "nan"))


def _tagged(node: Any) -> _Refused:
    tag = node.tag.replace(_TAG, "!!")
    return _Refused(node, f"found the tag {shown(tag, quotes=False)}, which configs do not have: leave it out")


def _place(at: Any, item: Any, where: Callable[[int], str]) -> Place:
    written = isinstance(item, yaml.ScalarNode) and item.style is None and item.tag != f"{_TAG}str"
    return Place(where(at.start_mark.line + 1), item.value if written else None)


def _not_yaml(error: yaml.YAMLError, text: str, where: Callable[[int], str]) -> str:
    """The message for a syntax error: its line, PyYAML's words, and what to do."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    context, problem = (str(getattr(error, name, None) or "") for name in ("context", "problem"))
    line = mark.line + 1 if mark else 1
    lines = text.split("\n")
    written = lines[line - 1] if line <= len(lines) else ""
    indent = written[: len(written) - len(written.lstrip())]
    if "\t" in indent:
        return f"{where(line)}: not YAML: found a tab in the indentation, expected spaces"
    opened = getattr(error, "context_mark", None)
    since = f" ({context} that begins in line {opened.line + 1})" if opened and opened.line + 1 != line else ""
    mends = (mend for words, mend in _MENDS.items() if words in problem or words in context)
    mend = next((f": {mend}" for mend in mends), "")
    return f"{where(line)}: not YAML: {shown(problem.removeprefix('but '), quotes=False)}{since}{mend}"
