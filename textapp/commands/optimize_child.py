"""A child process of `textapp optimize`: compresses or exports a run, and ends if the search ends.

    python -m textapp.commands.optimize_child JOB

JOB is `{"do": "check", "run", "recipes"}`, `{"do": "compress", "run", "recipe", "new_run", "data_dir"}` or
`{"do": "export", "run", "target", "quantize", "output", "data_dir"}`. The last line on stdout is `{}`, or
`{"error": message, "exit_code": 1}`. Its stdin is a pipe that the search holds open and never writes to: when the
search is killed, this process and its own children are, too.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from textapp.errors import TextappError

ANY_DROP = 1e6  # the search measures what is lost itself, and shows what loses too much


def _end_with_parent() -> None:
    """Waits for the end of stdin, then kills the whole process group, which the search made for this process."""
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def do(job: dict[str, Any]) -> None:
    """Does one job."""
    run = Path(job["run"])
    if job["do"] == "check":
        _check(run, job["recipes"])
        return
    data_dir = Path(job["data_dir"])
    if job["do"] == "compress":
        from textapp.commands.compress import compress

        compress(run, Path(job["recipe"]), new_run=job["new_run"], data_dir=data_dir)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))  # when the time is over; what is half made is removed
    from textapp.commands.export import export
    from textapp.export.options import ExportOptions

    options = ExportOptions(job["target"], job["quantize"], ANY_DROP)
    export(run, options, data_dir, Path(job["output"]))


def _check(run: Path, recipes: list[str]) -> None:
    """Checks that recipes fit a run."""
    from textapp.artifact import open_artifact
    from textapp.catalog import load_config
    from textapp.commands.compress_stages import check_fits
    from textapp.compression.recipe import load_recipe

    artifact, config = open_artifact(run), load_config(run / "config.yaml")
    for file in recipes:
        check_fits(artifact, config, load_recipe(file))


def main(job: str) -> None:
    """Does a job and tells how it ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("textapp").setLevel(logging.INFO)
    answer: dict[str, Any] = {}
    try:
        do(json.loads(job))
    except TextappError as error:
        answer = {"error": str(error), "exit_code": error.exit_code}
    print("\n" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
