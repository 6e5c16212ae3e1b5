"""Docstrings of public functions: arguments from three on, and the errors that a function raises itself.

`python tests/test_docstrings.py` lists what is missing in all modules, by folder.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "textapp"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
UNDOCUMENTED_FROM = 3  # so many arguments need an `Args:`
ERRORS = {"ValueError"} | {
    node.name for node in ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
}  # fmt: skip
# What a command takes is said by its options, and the docstring is its --help.
EXEMPT = {"cli.py"}
# Modules, or folders, that are not enforced yet.
NOT_YET: set[str] = set()


def missing(source: str) -> Iterator[str]:
    """What the docstrings of a module leave out: `name: Args`, `name: Raises`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    # The class may document the arguments of its constructor, and as attributes those that it stores.
                    documented = (ast.get_docstring(node) or "") + (ast.get_docstring(method) or "")
                    told = "Args:" in documented or "Attributes:" in documented
                    if _count(method) > UNDOCUMENTED_FROM and not told:  # self is one
                        yield f"{node.name}: Args"
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            documented = ast.get_docstring(node) or ""
            if _count(node) >= UNDOCUMENTED_FROM and "Args:" not in documented:
                yield f"{node.name}: Args"
            if any(_raised(node)) and "Raises:" not in documented:
                yield f"{node.name}: Raises"


def _count(function: ast.FunctionDef) -> int:
    given = function.args
    return len([*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, [given.vararg, given.kwarg])])


def _raised(node: ast.AST) -> Iterator[str]:
    """The names of the errors that the body itself raises; functions inside it are not its body."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(child, ast.Raise) and child.exc is not None:
            error = child.exc.func if isinstance(child.exc, ast.Call) else child.exc
            name = ast.unparse(error).split(".")[-1]
            if name in ERRORS:
                yield name
        yield from _raised(child)


def enforced(module: str) -> bool:
    return module not in EXEMPT and not any(module == name or module.startswith(f"{name}/") for name in NOT_YET)


@pytest.mark.parametrize("module", filter(enforced, MODULES))
def test_arguments_and_errors_are_documented(module: str) -> None:
    assert list(missing((PACKAGE / module).read_text(encoding="utf-8"))) == []


def test_what_is_left_out_is_seen() -> None:
    source = '''
def two(a, b): ...
def three(a, b, *, c): """Does it."""
def told(a, b, c):
    """Does it.

    Args:
        a: one.
    """
def _private(a, b, c): raise ValueError
def raising(a):
    if a:
        raise errors.DataError(f"{a}") from None
def outside(a):
    def inside(): raise ValueError("no")
    raise KeyError(a)
class Kept:
    """One.

    Args:
        a: one.
    """
    def __init__(self, a, b, c): ...
class Bare:
    def __init__(self, a, b, c): ...
class Small:
    def __init__(self, a, b): ...
'''
    assert list(missing(source)) == ["three: Args", "raising: Raises", "Bare: Args"]
    assert len(MODULES) > 100 and {"DataError", "UsageError"} <= ERRORS


if __name__ == "__main__":
    found = [(module, name) for module in MODULES if module not in EXEMPT
             for name in missing((PACKAGE / module).read_text(encoding="utf-8"))]  # fmt: skip
    for folder, rows in groupby(found, key=lambda row: row[0].rpartition("/")[0] or "."):
        listed = list(rows)
        print(f"{folder}: {len(listed)}")
        for module, name in listed:
            print(f"  {module.rpartition('/')[2]}: {name}")
