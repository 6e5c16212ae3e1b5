"""Nobody but a task's own parts asks which task it is: a fourth one would fall into whatever `else` is there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from textapp.catalog import TASKS

PACKAGE = Path(__file__).parents[2] / "textapp"
OWN_ROOMS = ("tasks", "objectives", "recipes")
CLASS_ENDINGS = ("Task", "Objective", "Recipe", "Check", "Predictor")


def faults(source: str) -> list[str]:
    """Comparisons with the name of a task, and questions for the class of one of its parts."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(map(_is_task, (node.left, *node.comparators))):
            looked_up = isinstance(node.ops[0], (ast.In, ast.NotIn)) and isinstance(node.comparators[0], ast.Name)
            if not looked_up:  # in a table of tasks
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Match) and _is_task(node.subject):
            found.append(ast.unparse(node.subject))
        elif isinstance(node, ast.Call) and _asks_for_a_part(node):
            found.append(ast.unparse(node))
    return found


def literals(source: str) -> list[str]:
    """Strings that are the name of a task, but for docstrings and what is written in sentences."""
    constants = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return [node.value for node in constants if isinstance(node.value, str) and node.value in TASKS]


def modules(source: str) -> list[str]:
    """The modules that a source imports from, at its top or inside functions."""
    return [node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]


def parts_of_tasks() -> set[str]:
    """Names of tasks, and of their other modes and roles: each has a file in tasks/."""
    return {name for room in (PACKAGE / "tasks").glob("*.py") if (name := room.stem).startswith(tuple(TASKS))}


def is_own(module: str) -> bool:
    """Whether a module is a part of a task: a file of its name, or of its name and more, in one of the rooms."""
    room, _, name = module.removeprefix("textapp.").partition(".")
    return room in OWN_ROOMS and name.removeprefix("checks.").startswith(tuple(TASKS))


def _asks_for_a_part(call: ast.Call) -> bool:
    asks = ast.unparse(call.func) in ("isinstance", "issubclass")
    return asks and any(name.endswith(CLASS_ENDINGS) for name in _names(call.args[1]))


def _is_task(node: ast.expr) -> bool:
    """`task`, `config.task`, `task.name`, `manifest["task"]`, or the name of a task as it stands."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value in TASKS
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "task"
    if isinstance(node, ast.Attribute):
        return node.attr == "task" or (node.attr == "name" and _is_task(node.value))
    return isinstance(node, ast.Name) and node.id == "task"


def _names(node: ast.expr) -> list[str]:
    return [part.id if isinstance(part, ast.Name) else part.attr
            for part in ast.walk(node) if isinstance(part, (ast.Name, ast.Attribute))]  # fmt: skip


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in OWN_ROOMS]


@pytest.mark.parametrize(
    "source",
    [
        'if config.task == "translation": pass', "if task.name != name: pass",
        'if manifest["task"] in ("translation", "x"): pass',
        "if isinstance(task, (int, ClassificationTask)): pass", 'x = "generation" == name',
        "match task.name:\n  case _: pass",
    ],
)  # fmt: skip
def test_the_kinds_of_fault_are_seen(source: str) -> None:
    assert faults(source)


def test_nobody_else_compares_tasks() -> None:
    assert len(files()) > 100
    found = {str(path.relative_to(PACKAGE)): faults(path.read_text(encoding="utf-8")) for path in files()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_nobody_else_names_a_task() -> None:
    # The demo has one part for each task, on purpose; the table has a row for each.
    skipped = {PACKAGE / "catalog.py", *(PACKAGE / "demo").rglob("*.py")}
    found = {
        str(path.relative_to(PACKAGE)): literals(path.read_text(encoding="utf-8"))
        for path in files()
        if path not in skipped
    }
    assert {name: names for name, names in found.items() if names} == {}


def test_a_task_touches_its_own_files_and_one_row() -> None:
    """A task's parts are imported by the table and by each other."""
    found = {
        str(path.relative_to(PACKAGE)): {name for name in modules(path.read_text(encoding="utf-8")) if is_own(name)}
        for path in files()
        if path.relative_to(PACKAGE).parts[0] != "demo"
    }
    assert {name for name, own in found.items() if own} == {"catalog.py"}
    assert len(found["catalog.py"]) == 2 * len(
        parts_of_tasks()
    )  # the task and its recipe, which leads to its objective
