"""One line for each fault of a config: where it is, the key, what was found, what was expected and how to mend it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import ValidationError

from textapp.config.data import Data
from textapp.config.model import architectures
from textapp.config.parts import Model, shown
from textapp.config.run import Config, TokenizerConfig, Training
from textapp.config.tasks import Known, unserved
from textapp.config.yaml_text import Place
from textapp.errors import did_you_mean

MOST_FAULTS = 20
_FULL_WIDTH = "："
_NOTHING = ("~", "null", "Null", "NULL")  # only a column may be called so
# Type of a pydantic error -> what was expected, with the limits of the field.
_EXPECTED = {
    **dict.fromkeys(("string_type", "string_unicode"), "text"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "number_type"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number from {ge}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number up to {le}",
    "list_type": "a list",
    "too_short": "a list of at least {min_length}",
    "dict_type": "keys",
}
_PARTS = {  # key -> what it looks like
    "data": "{{train: {0}}}",
    "tokenizer": "{{kind: {0}}}",
    "model": "{{architecture: {0}}}",
}
_EXAMPLES = {  # key -> values that it may have
    "data": "keys such as data: {train: reviews.csv}",
    "data.columns": "a column for each field, such as {text: review, label: stars}",
    "tokenizer": "keys such as tokenizer: {kind: bpe}",
    "model": "keys such as model: {architecture: mlp}",
    "training": "keys such as training: {epochs: 3, batch_size: 32}",
    "cleaning": "a list of steps, such as [nfkc, lowercase]",
    "lengths": "a list of ascending lengths, such as [16, 32, 64]",
}


def fault_lines(
    error: ValidationError, raw: Mapping[str, Any], known: Known, source: str, places: Mapping[str, Place]
) -> Iterator[str]:
    """The messages for a config that is not valid, at most `MOST_FAULTS` and one that counts the others.

    Args:
        error: of pydantic.
        raw: what the YAML holds.
        known: each task's keys.
        source: name of the config, for keys without a place.
        places: dotted key -> its place.
    """
    _, task = _locate(["task"], raw)
    _, architecture = _locate(["model", "architecture"], raw)
    both = isinstance(task, str) and isinstance(architecture, str)
    mode = raw.get("mode") if isinstance(raw.get("mode"), str) else None
    lines = dict.fromkeys(
        f"{_where(_first_key(line), source, places)}: {line}"
        for line in (unserved(task, mode, architecture, known) if both else [])
    )
    faults = error.errors(include_url=False)
    for fault in faults[:MOST_FAULTS]:
        keys, found = _locate(fault["loc"], raw)
        for line in _explain(fault, keys, found, raw, known, places).split("\n"):
            lines[f"{_where(keys or _first_key(line), source, places)}: {line}"] = None
    yield from islice(lines, MOST_FAULTS)
    more = max(len(lines), len(faults)) - MOST_FAULTS
    if more > 0:
        yield f"{source}: and {more:,} more"


def flat_fault_lines(
    error: ValidationError, raw: Any, part: type[Model], above: Sequence[str], source: str, places: Mapping[str, Place]
) -> Iterator[str]:
    """The messages for a part of another file than a config, such as a step of a recipe; of its fields only one with
    the keys of an architecture holds keys of its own.

    Args:
        error: of pydantic.
        raw: what the YAML holds for this part.
        part: by which it was checked.
        above: the keys that lead to it.
        source: name of the file, for keys without a place.
        places: dotted key -> its place.
    """
    for fault in error.errors(include_url=False)[:MOST_FAULTS]:
        below, found = _locate(fault["loc"], raw)
        keys = [*above, *below]
        name = ".".join(shown(key, quotes=False) for key in keys)
        if fault["type"] == "extra_forbidden":
            there = list(part.model_fields) if len(below) == 1 else _known_keys(fault["loc"][:-1])
            line = f"unknown key '{name}'{did_you_mean(keys[-1], there)} (known here: {', '.join(there)})"
        elif fault["type"] == "missing":
            line = f"the key '{name}' is missing"
        elif fault["type"].startswith("union_tag"):
            architecture = found.get("architecture") if isinstance(found, Mapping) else None
            line = _no_architecture(f"{name}.architecture", architecture)
            keys = [*keys, "architecture"]
        elif fault["type"] in ("model_type", "model_attributes_type"):
            line = f"{name}: found {_written(keys, found, places)}: expected {_part(keys[-1], found)}"
        elif not below:
            line = f"{name}: {fault['msg'].removeprefix('Value error, ')}".removeprefix(": ")
        else:
            line = f"{name}: found {_written(keys, found, places)}: {_expected(fault, name, found)}"
        yield f"{_where(keys, source, places)}: {line}"


def _where(keys: Sequence[str], source: str, places: Mapping[str, Place]) -> str:
    """The place of a key, or of the nearest one above it."""
    for length in range(len(keys), 0, -1):
        place = places.get(".".join(keys[:length]))
        if place:
            return place.where
    return source


def _first_key(line: str) -> list[str]:
    """The dotted key with which a message begins."""
    match = re.match(r"[\w.]+", line)
    return match[0].split(".") if match else []


def _explain(
    fault: Mapping[str, Any],
    keys: Sequence[str],
    found: Any,
    raw: Mapping[str, Any],
    known: Known,
    places: Mapping[str, Place],
) -> str:
    """The message for one error, without its place."""
    name, kind = ".".join(shown(key, quotes=False) for key in keys), fault["type"]
    if kind == "extra_forbidden" and _FULL_WIDTH in keys[-1]:
        return f"unknown key '{name}': found {_FULL_WIDTH} (U+FF1A), expected : and a space behind it"
    if kind == "extra_forbidden":
        there = _known_keys(fault["loc"][:-1])
        return f"unknown key '{name}'{did_you_mean(keys[-1], there)} (known here: {', '.join(there)})"
    if kind == "missing":
        return f"the key '{name}' is missing"
    if kind.startswith("union_tag"):
        if not isinstance(found, Mapping) or found.get("architecture") is None:
            return f"the key 'model.architecture' is missing; expected one of {', '.join(architectures())}"
        return _no_architecture("model.architecture", found["architecture"])
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{name}: found {_written(keys, found, places)}: expected {_part(name, found)}"
    if kind == "value_error" and (not name or name in _EXAMPLES and isinstance(found, Mapping)):
        message = fault["msg"].removeprefix("Value error, ")
        return f"{name}: {message}" if name else message
    mend = _quotes(fault, keys, raw, known, places)
    return f"{name}: found {_written(keys, found, places)}: {mend or _expected(fault, name, found)}"


def _no_architecture(name: str, found: Any) -> str:
    return (
        f"{name}: found {shown(found)}, expected one of {', '.join(architectures())}"
        f"{did_you_mean(str(found), architectures()) if isinstance(found, str) else ''}"
    )


def _part(name: str, found: Any) -> str:
    """What was expected where there is something else than keys."""
    example = _EXAMPLES.get(name, "keys")
    files = isinstance(found, list) and name == "data" and all(isinstance(item, str) for item in found)
    if name not in _PARTS or not (isinstance(found, str) and found or files):
        return example
    if name == "model" and found not in architectures():
        return f"{example}{did_you_mean(found, architectures())}"
    value = found if isinstance(found, str) else f"[{', '.join(found)}]"
    return f"keys: write {name}: {_PARTS[name].format(shown(value, quotes=False))}"


def _expected(fault: Mapping[str, Any], name: str, found: Any) -> str:
    kind, limits = fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        return str(fault["msg"]).removeprefix("Value error, ")
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", limits["expected"])
        near = did_you_mean(found, words) if isinstance(found, str) else ""
        return f"expected {'one of ' if len(words) > 1 else ''}{', '.join(words)}{near}"
    if kind == "list_type":
        write = f": write {name.rpartition('.')[2]}: [{shown(found, quotes=False)}]"
        whole = isinstance(found, (str, int, float)) and not isinstance(found, bool)
        return f"expected {_EXAMPLES.get(name, 'a list')}{write if whole else ''}"
    return f"expected {_EXPECTED[kind].format(**limits) if kind in _EXPECTED else fault['msg']}"


def _written(keys: Sequence[str], found: Any, places: Mapping[str, Place]) -> str:
    """What was found, as it was written if YAML reads it as something else."""
    place = places.get(".".join(keys))
    if place is None or place.word is None or place.word == shown(found):
        return shown(found)
    word = shown(place.word, quotes=False)
    if isinstance(found, bool):
        return f"{word}, which YAML reads as the boolean {shown(found)}"
    return word if found is not None else "nothing"


def _quotes(
    fault: Mapping[str, Any],
    keys: Sequence[str],
    raw: Mapping[str, Any],
    known: Known,
    places: Mapping[str, Place],
) -> str | None:
    """What to write if the value would be right as a text; None if it would not."""
    place = places.get(".".join(keys))
    if place is not None and place.word in _NOTHING and keys[-2:-1] != ["columns"]:
        return None
    if place is None or not (place.word or isinstance(_locate(keys, raw)[1], list)):
        return None
    changed: Any = copy.deepcopy(dict(raw))
    # Where a number may stand, one that is out of range is not meant as a text.
    numbers = fault["type"] == "string_type" or ("number" not in fault["msg"] and "share" not in fault["msg"])
    words = _put_words(changed, keys, places, numbers)
    if not words:
        return None
    try:
        Config.model_validate(changed, context=known)
    except ValidationError as error:
        if any(_locate(other["loc"], changed)[0] == list(keys) for other in error.errors()):
            return None
    quoted = ", ".join(f"'{shown(word, quotes=False)}'" for word in words[:3])
    option = f"--set \"{'.'.join(keys)}='{words[0]}'\""  # a shell takes the outer quotes away
    inside = place.where.startswith("--set") and len(words) == 1
    return f"expected text: write {quoted} in quotes{f', as in {option}' if inside else ''}"


def _put_words(raw: Any, keys: Sequence[str], places: Mapping[str, Place], numbers: bool) -> list[str]:
    """Puts the words of a file in place of what YAML makes of them, at and right below a key; returns the words."""
    node: Any = raw
    for key in keys[:-1]:
        node = node[int(key) if isinstance(node, list) else key]
    words: list[str] = []
    if not isinstance(node, (dict, list)) or not keys:
        return words
    last: Any = int(keys[-1]) if isinstance(node, list) else keys[-1]
    slots: list[tuple[Any, Any, list[str]]] = [(node, last, [*keys])]
    value = node.get(last) if isinstance(node, dict) else node[last]
    if isinstance(value, list):
        slots += [(value, number, [*keys, str(number)]) for number in range(len(value))]
    for holder, slot, names in slots:
        word = getattr(places.get(".".join(names)), "word", None)
        if word and (numbers or isinstance(holder[slot], bool)):
            holder[slot] = word
            words.append(word)
    return words


def _locate(location: Iterable[Any], raw: Any) -> tuple[list[str], Any]:
    """The keys of an error without pydantic's names for types of a union, and the value there."""
    keys: list[str] = []
    node = raw
    for part in location:
        listed = isinstance(node, (list, tuple)) and isinstance(part, int) and part < len(node)
        if listed or (isinstance(node, Mapping) and part in node):
            node = node[part]
        elif isinstance(node, Mapping) and isinstance(part, str) and part not in architectures():
            node = None
        else:
            continue
        keys.append(str(part))
    return keys, node


def _known_keys(location: Sequence[Any]) -> list[str]:
    models: dict[str, type[Model]] = {
        "data": Data, "tokenizer": TokenizerConfig, "training": Training, **architectures()
    }  # fmt: skip
    for part in reversed(location):
        if part in models:
            return list(models[part].model_fields)
    return list(Config.model_fields)
