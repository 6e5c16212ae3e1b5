"""Compiles the steps of configs for TPUs, without one, and prints a table: what `textapp check --device tpu` does.

    python benchmarks/tpu.py configs/*/*.yaml --data-dir DATA --output tpu.jsonl [--chips v5e v6e] [--all-buckets] \\
        [--kinds training evaluation decoding]
    python benchmarks/tpu.py --output tpu.jsonl         # the table of what is there

Each step is a line of the output, written when it is compiled; those that are there are not compiled again, so it may
be stopped at any time. Of the training and the evaluation steps those of the longest bucket are compiled, which take
the most memory; with --all-buckets each one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[1]))

from textapp.catalog import load_config  # noqa: E402
from textapp.commands.tpu import Step, compiled_step, prepared_of, steps_of  # noqa: E402
from textapp.commands.tpu_environment import CHIPS, compiler_python  # noqa: E402
from textapp.errors import TextappError  # noqa: E402

KINDS = ("training", "evaluation", "decoding")


def longest(steps: Iterable[Step]) -> list[Step]:
    """The step of each kind that reads the longest rows."""
    return list({step.kind: step for step in sorted(steps, key=_length)}.values())


def _length(step: Step) -> int:
    return max(spec.shape[1] for spec in tf.nest.flatten(step.specs) if spec.shape.rank == 2)


def compile_config(path: Path, arguments: argparse.Namespace, done: set[tuple[str, str, str, str]]) -> None:
    """Compiles the steps of a config for each chip, and appends a row for each to the output."""
    with tempfile.TemporaryDirectory() as folder, arguments.output.open("a", encoding="utf-8") as output:
        prepared, objective = prepared_of(load_config(path), arguments.data_dir, Path(folder))
        precision, layers, steps = steps_of(prepared, objective)
        python = compiler_python(print)
        for chip in arguments.chips:
            for step in steps if arguments.all_buckets else longest(steps):
                if step.kind not in arguments.kinds or (str(path), chip, step.kind, step.shape) in done:
                    continue
                started = time.monotonic()
                row = compiled_step(step, layers, python, chip, Path(folder))
                row = {"config": str(path), "chip": chip, "precision": precision, **row}
                row["all_seconds"] = round(time.monotonic() - started, 1)
                print(json.dumps(row), file=output, flush=True)


def table(rows: list[dict[str, Any]]) -> Iterable[str]:
    """A Markdown table: a line for each config and chip, its largest step of each kind in MB of a core, and seconds."""
    yield f"| config | chip | {' | '.join(f'{kind}, MB' for kind in KINDS)} | % of the chip | s | steps taken |"
    yield f"|---|---|{'---:|' * (len(KINDS) + 3)}"
    for config, chip in dict.fromkeys((row["config"], row["chip"]) for row in rows):
        own = [row for row in rows if (row["config"], row["chip"]) == (config, chip)]
        sizes = {
            kind: max((row["total_bytes"] for row in own if row["step"] == kind and "total_bytes" in row), default=0)
            for kind in KINDS
        }
        taken = [row for row in own if "error" not in row]
        cells = [f"{size / 1e6:,.0f}" if size else "" for size in sizes.values()]
        cells += [f"{100 * max(sizes.values()) / CHIPS[chip].memory:.1f}", f"{sum(r['seconds'] for r in taken):.0f}"]
        name = Path(config).relative_to(Path(config).parents[1]).with_suffix("")
        yield f"| `{name}` | {chip} | {' | '.join(cells)} | {len(taken)} of {len(own)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", type=Path, nargs="*")
    parser.add_argument("--data-dir", type=Path, default=Path())
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--chips", nargs="+", choices=CHIPS, default=["v5e", "v6e"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--all-buckets", action="store_true")
    arguments = parser.parse_args()
    arguments.output.touch()
    rows = [json.loads(line) for line in arguments.output.read_text(encoding="utf-8").splitlines()]
    done = {(row["config"], row["chip"], row["step"], row["shape"]) for row in rows}
    for path in arguments.configs:
        print(path, flush=True)
        try:
            compile_config(path, arguments, done)
        except TextappError as error:  # no data, or no preset
            print(f"{path}: {error}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
    for line in table([json.loads(line) for line in arguments.output.read_text(encoding="utf-8").splitlines()]):
        print(line)


if __name__ == "__main__":
    main()
