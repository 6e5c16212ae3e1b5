"""`textapp check`: profiles the data and the environment before training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.catalog import load_config, recipe_of_config, recipe_of_manifest
from textapp.commands import tables, tpu
from textapp.commands.environment import environment
from textapp.config import Config, data_directory
from textapp.errors import UsageError
from textapp.recipes.profile import Table
from textapp.recipes.resolving import locate
from textapp.recipes.splits import load_splits
from textapp.tasks.task import one_line

CHARACTERS = 80  # of a text in `first_rows`


def check(
    config_path: Path | None = None,
    overrides: Sequence[str] = (),
    data_dir: Path | None = None,
    as_json: bool = False,
    device: str | None = None,
) -> dict[str, Any]:
    """Profiles the data of a config and the environment, and prints the result.

    Args:
        config_path: the YAML; None: the environment only.
        overrides: `key=value` pairs that replace config keys.
        data_dir: base folder of relative data paths.
        as_json: print JSON.
        device: `tpu`, or `tpu:` and a kind of it: compile the steps of the config for it, see `check_tpu`.

    Returns:
        `{"environment": {...}}` and, with a config, `"data"`: the profile. Both have `warnings`; data has `first_rows`,
        the first records of the files of each split, with texts cut to a line. With a device `"tpu"`, too.

    Raises:
        ConfigError, DataError: the config or the data are invalid.
        UsageError: the device is unknown, or there is no config to compile.
        TextappError: the compiler refused a step; this is raised after the result is printed.
    """
    chip = None if device is None else tpu.chip_of(device)
    if chip is not None and config_path is None:
        raise UsageError(f"--device {device}: found no config, expected one to compile: textapp check CONFIG")
    result: dict[str, Any] = {}
    with tables.stdout_for_json(as_json):
        if config_path is not None:
            config, folder = load_config(config_path, overrides), data_directory(data_dir)
            result["data"] = data_profile(config, folder)
            if chip is not None:
                result["tpu"] = tpu.check_tpu(config, folder, chip)
        result["environment"] = environment()
    tables.emit(result, as_json, lambda console: _show(console, result))
    if chip is not None and (error := tpu.refused(result["tpu"])):
        raise error
    return result


def data_profile(config: Config, data_dir: Path) -> dict[str, Any]:
    """The profile of the data of a config.

    Args:
        config: of any task.
        data_dir: base folder of relative data paths.

    Raises:
        UsageError: there is no training data.
        DataError: the data are invalid.
    """
    if config.data.prepared is not None:
        raise UsageError(
            "data.prepared: found a folder of token ids, expected texts to check: leave it out, as textapp prepare did"
        )
    recipe = recipe_of_config(config, data_dir)
    splits = load_splits(recipe, config, data_dir)
    if not splits.train:
        raise UsageError(
            "data.train: found no files, expected some to check: a preset as it is (training.epochs 0) needs none"
        )
    profile = recipe.profile(locate(config, data_dir), splits)
    first = {name: [_excerpt(record) for record in records] for name, records in splits.first.items()}
    return {**profile, "first_rows": first}


def _excerpt(record: Mapping[str, Any]) -> dict[str, Any]:
    messages = {"messages": json.dumps(record["messages"], ensure_ascii=False)} if "messages" in record else {}
    record = {**record, **messages}
    return {field: one_line(value, CHARACTERS) if isinstance(value, str) else value for field, value in record.items()}


def _show(console: Any, result: Mapping[str, Any]) -> None:
    warnings = []
    if "data" in result:
        recipe = recipe_of_manifest(result["data"])
        for part in recipe.sections(result["data"]):
            console.print(tables.section(part))
        for name, records in result["data"]["first_rows"].items():
            console.print(tables.section(_first_rows(f"first rows of {name}", records)))
        warnings += result["data"]["warnings"]
    if "tpu" in result:
        tpu.show(console, result["tpu"])
        warnings += result["tpu"]["warnings"]
    _show_environment(console, result["environment"])
    warnings += result["environment"]["warnings"]
    if not warnings:
        console.print("no warnings")
    for line in warnings:
        tables.line(console, f"warning: {line}", style="yellow")


def _first_rows(title: str, records: Sequence[Mapping[str, Any]]) -> Table:
    """The table of records; several labels are in quotes, so that one shows where each ends, answers between bars."""
    fields = list(dict.fromkeys(field for record in records for field in record))
    cells = [[record.get(field) for field in fields] for record in records]
    return Table(title, fields, [list(map(_cell, row)) for row in cells], left=len(fields))


def _cell(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if value and all(isinstance(one, dict) and "text" in one for one in value):  # answers, which are in their context
        return " | ".join(dict.fromkeys(one_line(one["text"], CHARACTERS) for one in value))
    return json.dumps(value, ensure_ascii=False)


def _show_environment(console: Any, machine: Mapping[str, Any]) -> None:
    console.print(tables.facts("environment", {
        "python": f"{machine['python']} on {machine['platform']}",
        "cores": f"{machine['usable_cores']} of {machine['cores']}",
        "thread settings": machine["thread_settings"] or None,
        "cpu": machine["cpu_flags"],
        "bfloat16 in hardware": machine["bfloat16"],
        "devices of tensorflow": machine["devices"],
        "packages": machine["packages"],
        "missing": {name: parts for name, parts in machine["extras"].items() if parts != "complete"} or None,
    }))  # fmt: skip
