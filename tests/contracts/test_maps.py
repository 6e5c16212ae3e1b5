"""The lists of what lies above what agree: import-linter's, the one in architecture.md, and the folders themselves."""

from __future__ import annotations

import re
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def modules() -> set[str]:
    """What lies at the top of the package."""
    package = ROOT / "textapp"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    return folders | {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}


def test_the_linter_knows_every_module_and_no_other() -> None:
    (layers,) = (contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    named = [name for layer in layers for name in re.findall(r"\((\w+)\)", layer)]
    assert sorted(named) == sorted(modules())


def test_the_map_gives_the_linter_s_order() -> None:
    (layers,) = (contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    (order,) = re.findall(r"Imports point down only:\n\n```\n(.*?)```", MAP, re.DOTALL)
    written = [[name.strip() for name in part.split("|")] for part in order.replace("\n", " ").split(">")]
    assert written == [re.findall(r"\((\w+)\)", layer) for layer in layers]


def test_the_map_draws_every_module() -> None:
    drawn = re.findall(r"^  (?!\s|#)(.*)$", MAP.split("```")[1], re.MULTILINE)
    first_words = {word.rstrip("/").removesuffix(".py") for line in drawn for word in line.split("  ")[0].split()}
    assert modules() == first_words


def test_the_half_without_tensorflow_is_all_that_lies_below_it() -> None:
    (border,) = (contract for contract in CONTRACTS if contract["type"] == "forbidden")
    named = {module.removeprefix("textapp.").split(".")[0] for module in border["source_modules"]}
    on_tensorflow = {
        "batches",
        "layers",
        "models",
        "prepared",
        "objectives",
        "training",
        "export",
        "report",
        "compression",
    }
    # They import TensorFlow inside functions.
    above = {"recipes", "catalog", "loading", "commands", "demo", "cli", "cli_options"}
    assert named == modules() - on_tensorflow - above
    runners = {path.stem for path in (ROOT / "textapp" / "runners").glob("*.py")} - {"__init__", "keras", "saved_model"}
    listed = {module.split(".")[2] for module in border["source_modules"] if module.startswith("textapp.runners.")}
    assert listed == runners
