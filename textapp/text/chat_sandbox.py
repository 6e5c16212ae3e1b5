"""Renders Jinja templates of strangers with an amount of work that is bounded, so that none takes all time or memory.

Jinja's sandbox keeps a template from files and from Python's insides, but not from nested loops or from doubling a
text. Here every loop, call, filter, comparison and text costs units of work, which are counted, not timed: the same
template ends in the same place on every machine. Operations whose result may be far longer than what they are given
are checked before they are done, and those that chat templates do not use are left out.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Callable, ItemsView, KeysView, Mapping, ValuesView
from contextvars import ContextVar
from typing import Any

from textapp.errors import require

UNITS = 200_000  # of work, a fraction of a second in all
UNITS_PER_UNIT = 64  # more for each unit of what the template is given
CHARACTERS = 64  # that are copied for a unit
_STEP = 2  # units of a call or a turn of a loop, on top of the size of what it is given
_MAX_BITS = 4096  # of a product of whole numbers
_MAX_INDENT = 64
_STRING_METHODS = (
    "capitalize", "casefold", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isascii",
    "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip",
    "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit", "rstrip",
    "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper",
)  # fmt: skip
_OTHER_METHODS = ("copy", "count", "get", "index", "items", "keys", "values")  # of lists and mappings
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "safe", "select", "selectattr",
    "sort", "string", "title", "trim", "unique", "upper", "wordcount",
)  # fmt: skip
_GLOBALS = ("range", "dict", "namespace", "cycler", "joiner")
_END_TAG = "endgeneration"
_PLAIN_FORMAT = re.compile(r"(?:[^{}]|\{\{|\}\}|\{\w*\})*")  # no widths, no attributes
_PLAIN_PERCENT = re.compile(r"(?:[^%]|%%|%[sdirf]|%\(\w+\)[sdirf])*")
# The names of steps that are put into a template: no template can write them, as they have a blank.
_ITEMS, _VALUE, _TEXT, _CONCAT = "counted items", "counted value", "counted text", "counted concat"


class TemplateFault(Exception):
    """A template does what is not allowed here, or too much."""


class TemplateRefusal(Exception):
    """A template called `raise_exception`."""


class _Work:
    """How much work a rendering has left."""

    def __init__(self, units: int) -> None:
        self.left = units

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise TemplateFault("it does more work than a chat template needs: does it loop for ever?")


_work: ContextVar[_Work] = ContextVar("work")


def render(source: str, values: Mapping[str, Any]) -> str:
    """Renders a template.

    Args:
        source: of the template.
        values: what it is given: texts, numbers, lists and dicts of them.

    Raises:
        TemplateRefusal: the template refuses what it is given.
        Exception: it is no template, or does what is not allowed here; Jinja has many kinds of errors.
        UsageError: Jinja is not installed.
    """
    token = _work.set(_Work(UNITS))
    try:
        template = _compiled(source)
        _work.set(_Work(UNITS + UNITS_PER_UNIT * _size(values)))
        return str(template.render(values))
    finally:
        _work.reset(token)


@functools.lru_cache(maxsize=8)
def _compiled(source: str) -> Any:
    jinja2: Any = require("jinja2", "chat")
    environment = _environment()
    tree = _counting_visitor().visit(environment.parse(source))
    tree.set_environment(environment)
    return jinja2.Template.from_code(environment, environment.compile(tree), environment.make_globals(None))


@functools.cache
def _environment() -> Any:
    """The environment of `apply_chat_template` of the package transformers, but for what is counted or left out."""
    jinja2: Any = require("jinja2", "chat")
    sandbox: Any = require("jinja2.sandbox", "chat")

    class Environment(sandbox.ImmutableSandboxedEnvironment):  # type: ignore[misc]
        intercepted_binops = frozenset(["+", "*", "%", "**"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _check_operation(operator, left, right)
            _spend(_STEP, left, right)
            return _spent(super().call_binop(context, operator, left, right))

        def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: B902, N805
            _check_call(__obj, args)
            _spend(_STEP, args, kwargs)
            return _spent(super().call(__context, __obj, *args, **kwargs))

    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, finalize=jinja2.pass_context(lambda _, value: _spent(value)),
        extensions=["jinja2.ext.loopcontrols", _generation_tag()],
    )  # fmt: skip
    environment.globals = {name: environment.globals[name] for name in _GLOBALS}
    environment.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
    own = {"tojson": _to_json, "replace": _replaced, "join": jinja2.pass_environment(_joined), "indent": _indented}
    kept = {name: environment.filters[name] for name in _FILTERS}
    environment.filters = {name: _counted(function) for name, function in (kept | own).items()}
    steps = {_ITEMS: _items, _VALUE: _spent, _TEXT: _spent, _CONCAT: _concatenated}
    environment.filters |= {name: _unfolded(step) for name, step in steps.items()}
    environment.tests = {name: _counted(test) for name, test in environment.tests.items()}
    return environment


def _counting_visitor() -> Any:
    """Puts the steps that count work into a template that was parsed."""
    nodes: Any = require("jinja2.nodes", "chat")
    visitor: Any = require("jinja2.visitor", "chat")

    def through(step: str, node: Any) -> Any:
        return nodes.Filter(node, step, [], [], None, None, lineno=node.lineno)

    class Visitor(visitor.NodeTransformer):  # type: ignore[misc]
        def visit_For(self, node: Any) -> Any:
            if node.recursive:
                raise TemplateFault("recursive loops are not supported")
            self.generic_visit(node)
            node.iter = through(_ITEMS, node.iter)
            return node

        def visit_Output(self, node: Any) -> Any:
            self.generic_visit(node)
            node.nodes = [
                through(_TEXT, nodes.Const(part.data, lineno=part.lineno))
                if isinstance(part, nodes.TemplateData)
                else part
                for part in node.nodes
            ]
            return node

        def visit_Concat(self, node: Any) -> Any:
            self.generic_visit(node)
            return through(_CONCAT, nodes.List(node.nodes, lineno=node.lineno))

        def visit_Compare(self, node: Any) -> Any:
            self.generic_visit(node)
            node.expr = through(_VALUE, node.expr)
            for operand in node.ops:
                operand.expr = through(_VALUE, operand.expr)
            return node

        def visit_Getitem(self, node: Any) -> Any:
            self.generic_visit(node)
            if isinstance(node.arg, nodes.Slice):
                node.node = through(_VALUE, node.node)
            return node

        def visit_Tuple(self, node: Any) -> Any:
            self.generic_visit(node)
            return through(_VALUE, node) if node.ctx == "load" else node

        def visit_List(self, node: Any) -> Any:
            self.generic_visit(node)
            return through(_VALUE, node)

        visit_Dict = visit_List

        def visit_Include(self, node: Any) -> Any:
            raise TemplateFault("other templates cannot be loaded")

        visit_Import = visit_FromImport = visit_Extends = visit_Include

    return Visitor()


@functools.cache
def _generation_tag() -> Any:
    """`{% generation %}`, which marks what the model wrote, and changes nothing here."""
    extension: Any = require("jinja2.ext", "chat")

    class Generation(extension.Extension):  # type: ignore[misc]
        tags = {_END_TAG.removeprefix("end")}

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements((f"name:{_END_TAG}",), drop_needle=True)

    return Generation


# --- what is counted -----------------------------------------------------------------------------------------------


def _size(*values: Any) -> int:
    """The units of values: one for each, and for `CHARACTERS` characters of a text; shared parts count each time."""
    units, waiting, left = 0, list(values), _work.get().left
    while waiting:
        value = waiting.pop()
        units += 1
        if isinstance(value, str):
            units += len(value) // CHARACTERS
        elif isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, (list, tuple, set, frozenset, KeysView, ValuesView, ItemsView)):
            waiting += value
        if units > left:
            break
    return units


def _spend(units: int, *values: Any) -> None:
    _work.get().spend(units + _size(*values))


def _spent(value: Any) -> Any:
    """The value, whose size was spent."""
    _spend(0, value)
    return value


def _counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or a test that costs what it is given and what it returns."""

    @functools.wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        _spend(_STEP, args, kwargs)
        return _spent(function(*args, **kwargs))

    return counted


def _unfolded(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """A filter that is not called when a template is compiled, as those are that get the context."""
    return require("jinja2", "chat").pass_context(lambda context, value: function(value))


def _items(values: Any) -> list[Any]:
    """The turns of a loop."""
    items = list(values)
    _spend((_STEP + 1) * len(items))
    return items


def _concatenated(values: list[Any]) -> str:
    _spend(_STEP, values)
    return "".join(map(str, values))


# --- what may make much of little ----------------------------------------------------------------------------------


def _check_length(length: int) -> None:
    """Spends the work of a text before it is made."""
    _work.get().spend(max(0, length) // CHARACTERS)


def _check_operation(operator: str, left: Any, right: Any) -> None:
    numbers = all(isinstance(value, (int, float)) for value in (left, right))
    if operator == "**" and not (numbers and abs(left) <= 1024 and abs(right) <= 64):
        raise TemplateFault("powers of large numbers are not supported")
    if operator == "*":
        if numbers:
            bits = sum(value.bit_length() for value in (left, right) if isinstance(value, int))
            if bits > _MAX_BITS:
                raise TemplateFault("products of large numbers are not supported")
            return
        for many, count in ((left, right), (right, left)):
            if isinstance(count, int) and hasattr(many, "__len__"):
                size = _size(many)
                _work.get().spend(size * max(0, count))
    if operator == "%" and isinstance(left, str) and not _PLAIN_PERCENT.fullmatch(left):
        raise TemplateFault(f"the format {left[:40]!r} is not supported")


def _check_call(function: Any, args: tuple[Any, ...]) -> None:
    """Checks a call of a method of a text, a list or a mapping; other functions are ours or Jinja's."""
    method = getattr(function, "__wrapped__", function)  # Jinja wraps `format`
    owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
    if owner is None or type(owner).__module__ != "builtins" or type(owner).__name__ == "module":
        return
    allowed = _STRING_METHODS if isinstance(owner, str) else _OTHER_METHODS
    if isinstance(owner, (int, float, bytes, type)) or name not in allowed:
        raise TemplateFault(f"the method {type(owner).__name__}.{name} is not supported")
    _spend(0, owner)
    if not isinstance(owner, str):
        return
    if name == "replace" and len(args) > 1:
        _check_replace(owner, *args[:2])
    if name == "join" and args:
        _check_length(len(owner) * len(args[0] if hasattr(args[0], "__len__") else ()))
        if not hasattr(args[0], "__len__"):
            raise TemplateFault("str.join needs a list: use the filter join")
    if name == "format" and not _PLAIN_FORMAT.fullmatch(owner):
        raise TemplateFault(f"the format {owner[:40]!r} is not supported")


def _check_replace(text: str, old: Any, new: Any) -> None:
    if isinstance(old, str) and isinstance(new, str):
        _check_length(text.count(old) * len(new))


def _replaced(text: Any, old: Any, new: Any, count: int | None = None) -> str:
    """The filter `replace`."""
    text, old, new = str(text), str(old), str(new)
    _check_replace(text, old, new)
    return text.replace(old, new, -1 if count is None else count)


def _joined(environment: Any, values: Any, separator: Any = "", attribute: Any = None) -> str:
    """The filter `join`."""
    items = list(values)
    if attribute is not None:
        items = [environment.getitem(item, attribute) for item in items]
    separator = str(separator)
    _spend(0, items)
    _check_length(len(separator) * len(items))
    return separator.join(map(str, items))


def _indented(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """The filter `indent`."""
    indent = width if isinstance(width, str) else " " * min(width, _MAX_INDENT)
    lines = str(text).split("\n")
    _check_length(len(indent) * len(lines))
    shifted = [indent + line if line or blank else line for line in lines[1:]]
    return "\n".join([(indent if first else "") + lines[0], *shifted])


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """The filter `tojson` of the package transformers, which escapes nothing for HTML.

    Args:
        value: of lists, dicts, texts and numbers.
        ensure_ascii, indent, separators, sort_keys: as for `json.dumps`.
    """
    if isinstance(indent, int):
        indent = min(indent, _MAX_INDENT)
        _work.get().spend(_size(value) * indent)
    if separators is not None and any(len(part) > _MAX_INDENT for part in separators):
        raise TemplateFault("tojson: separators are too long")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: Any = "") -> None:
    raise TemplateRefusal(str(message))


def _strftime_now(form: str) -> str:
    if not isinstance(form, str) or len(form) > 100 or re.search(r"%\W*\d", form):
        raise TemplateFault("the format of strftime_now is not supported")
    return datetime.datetime.now().strftime(form)
