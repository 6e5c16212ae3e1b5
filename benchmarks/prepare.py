"""How fast `textapp prepare` is, and its memory: the lines of a text file, repeated, with a label each.

    python benchmarks/prepare.py TEXTS --lines 5000000 --folder prepare-5m [--workers N] [--train]

TEXTS has a text a line (or is a .gz). Prints the lines a second, the CPU seconds of all processes, and the peak of the
memory of all processes together (PSS, sampled four times a second). With --train one epoch is trained from the folder.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import threading
import time
from itertools import cycle, islice
from pathlib import Path

CONFIG = """
task: classification
run: run
data: {train: train.tsv, validation: validation.tsv}
model: {architecture: mlp}
training: {epochs: 1, device: cpu}
"""


def write(texts: Path, folder: Path, lines: int) -> None:
    """Writes the table of all lines, and one of 500."""
    with (gzip.open if texts.suffix == ".gz" else open)(texts, "rt", encoding="utf-8") as file:
        found = [line.rstrip("\n").replace("\t", " ") for line in file if line.strip()]
    rows = [f"{text}\t{'long' if len(text) > 60 else 'short'}\n" for text in found]
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", lines), ("validation", 500)):
        with (folder / f"{name}.tsv").open("w", encoding="utf-8") as file:
            file.write("text\tlabel\n")
            file.writelines(islice(cycle(rows), count))
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")


def run(arguments: list[str], folder: Path) -> dict[str, float]:
    """Runs a command of textapp: its seconds, CPU seconds, and the peak of its memory in GB."""
    before, started, peak = _cpu(), time.monotonic(), 0
    with subprocess.Popen([sys.executable, "-m", "textapp", *arguments], cwd=folder) as process:
        ended = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not ended.wait(0.25):
                peak = max(peak, _memory(process.pid))

        watching = threading.Thread(target=watch)
        watching.start()
        code = process.wait()
        ended.set()
        watching.join()
    if code:
        sys.exit(code)
    return {"seconds": time.monotonic() - started, "cpu_seconds": _cpu() - before, "peak_gb": peak / 1e6}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _memory(pid: int) -> int:
    """The memory of a process and those that it started, in KB; what they share counts once."""
    total, waiting = 0, [str(pid)]
    while waiting:
        process = Path("/proc") / waiting.pop()
        try:
            rows = (process / "smaps_rollup").read_text().splitlines()
            total += next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
            for task in (process / "task").iterdir():
                waiting += (task / "children").read_text().split()
        except (OSError, StopIteration):  # it has ended meanwhile
            continue
    return total


def main() -> None:
    """Writes the data, prepares them, and prints what it took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--train", action="store_true")
    given = parser.parse_args()
    write(given.texts, given.folder, given.lines)
    common = ["config.yaml", "--data-dir", ".", "--overwrite"]
    found = {"prepare": run(["prepare", *common, "--to", "ids", "--workers", str(given.workers)], given.folder)}
    found["prepare"]["lines_per_second"] = given.lines / found["prepare"]["seconds"]
    found["prepare"]["lines_per_cpu_second"] = given.lines / found["prepare"]["cpu_seconds"]
    if given.train:
        found["train"] = run(["train", *common, "--set", "data.prepared=ids"], given.folder)
    print(json.dumps({"lines": given.lines, **found}, indent=2))


if __name__ == "__main__":
    main()
