"""Times systems against each other: each runs in its own process and gets the same blocks of 20 queries in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 20
RESAMPLES = 2000
REPEATS = 8  # passes over the test set for each system and batch size
SEED = 7
PEERS = Path(__file__).parent / "peers"
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def run_builder(command: Sequence[Any]) -> str:
    """Runs a script that fills a work folder; returns its output.

    Raises:
        SystemExit: it failed; with the end of its stderr.
    """
    print("preparing:", " ".join(map(str, command[1:4])), file=sys.stderr)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(PEERS.parents[1])}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[1]} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


class System:
    """One system in its own process, pinned to the first `threads` cores.

    Args:
        name: in the table.
        script: a file of `peers/`.
        python: the interpreter of the peers' environment.
        job: see `peers/serve.py: Job` and `peers/writing.py: WritingJob`.
        whole: whether it answers whole test sets instead of single queries.
        settings: further environment variables.
    """

    def __init__(
        self,
        name: str,
        script: str,
        python: str,
        job: dict[str, Any],
        whole: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.times = name, []
        threads = job["threads"]
        cores = ",".join(map(str, range(threads)))
        per_call = 1 if whole else threads
        environment = {
            **os.environ,
            **dict.fromkeys(THREAD_VARIABLES, str(per_call)),
            "TOKENIZERS_PARALLELISM": "false",
            **(settings or {}),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a package that is installed has its bytecode
        command = ["taskset", "-c", cores, python, str(PEERS / script), json.dumps(job), *(["--whole"] * whole)]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the process
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self.facts = self._read()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Sends a request and waits for the answer; all other systems are idle."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._log.close()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            raise SystemExit(f"{self.name} ended with code {code}:\n{self._log.read()[-2000:]}")
        return json.loads(line)


@dataclass
class Timing:
    """The result of one system.

    Attributes:
        blocks: milliseconds of each query, `[blocks, queries of a block]`.
        quality: name -> figure of the timed system on the whole test set, 0 to 100.
        facts: version, size_bytes, first_answer_s, memory_mb.
    """

    name: str
    blocks: np.ndarray
    quality: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.blocks, share))


def compare(
    systems: Sequence[System],
    judge: Callable[[list[Any]], dict[str, float]],
    num_texts: int,
    num_queries: int,
    block_size: int = BLOCK,
) -> list[Timing]:
    """Runs every system on the whole test set, which warms it up, then times blocks of queries in turn.

    Args:
        systems: started; ratios are relative to the first one.
        judge: a function from the answers to the test set, in order, to figures by name, 0 to 100.
        num_texts: texts of the test set.
        num_queries: timed queries of each system, at least 200 for a p99.
        block_size: queries that a system answers before the next one has its turn.
    """
    qualities = [judge(system.ask(indices=list(range(num_texts)))["answers"]) for system in systems]
    random = np.random.default_rng(SEED)
    times: dict[str, list[list[float]]] = {system.name: [] for system in systems}
    for block in range(-(-num_queries // block_size)):
        indices = random.integers(num_texts, size=block_size).tolist()
        turn = block % len(systems)
        for system in [*systems[turn:], *systems[:turn]]:
            answer = system.ask(indices=indices)
            times[system.name].append(answer["times_ms"])
            system.facts["memory_mb"] = answer["memory_mb"]
    return [
        Timing(system.name, np.array(times[system.name]), quality, system.facts)
        for system, quality in zip(systems, qualities, strict=True)
    ]


def whole_sets(systems: Sequence[System]) -> dict[tuple[str, int], tuple[np.ndarray, list[Any]]]:
    """Runs systems started with `whole` on the test set repeatedly, in turn.

    Returns:
        (name, batch size) -> the seconds of the whole set, `[REPEATS, 1]`, and the answers.
    """
    seconds: dict[tuple[str, int], list[float]] = {}
    answers = {}
    for repeat in range(REPEATS + 1):
        for system in systems:
            for batch in system.facts["batches"]:
                found = system.ask(batch=batch)
                answers[system.name, batch] = found["answers"]
                if repeat:  # the first is the warm-up
                    seconds.setdefault((system.name, batch), []).append(found["seconds"])
    return {key: (np.array(taken)[:, None], answers[key]) for key, taken in seconds.items()}


def throughput_table(systems: Sequence[System], judge: Callable[[list[Any]], dict[str, float]], num_texts: int) -> str:
    """`whole_sets` as Markdown, every system at its best batch size; the first is textapp."""
    found = whole_sets(systems)
    ours, _ = found[systems[0].name, systems[0].facts["batches"][0]]
    rows = []
    for system in systems:
        best = min(system.facts["batches"], key=lambda batch: np.median(found[system.name, batch][0]))
        seconds, answers = found[system.name, best]
        rows.append(
            {
                "system": f"{system.name} ({system.facts['version']})",
                "best batch": str(best),
                "texts/s": f"{num_texts / np.median(seconds):.0f}",
                "textapp against it (95 %)": "" if system is systems[0] else verdict(seconds, ours),
                **{name: f"{figure:.2f}" for name, figure in judge(answers).items()},
            }
        )
    return markdown(rows)


def ratio_interval(slower: np.ndarray, faster: np.ndarray) -> tuple[float, float, float]:
    """The ratio of two medians and its 95 % interval, by a bootstrap over the blocks that both systems answered.

    Example: blocks of 2 ms against blocks of 1 ms give `(2.0, 2.0, 2.0)`.
    """
    chosen = np.random.default_rng(SEED).integers(len(slower), size=(RESAMPLES, len(slower)))
    medians = [np.median(blocks[chosen].reshape(RESAMPLES, -1), axis=1) for blocks in (slower, faster)]
    low, high = np.percentile(medians[0] / medians[1], [2.5, 97.5])
    return float(np.median(slower) / np.median(faster)), float(low), float(high)


def table(timings: Sequence[Timing], more: Callable[[Timing], dict[str, str]] = lambda timing: {}) -> str:
    """Markdown for docs/results.md; the first system is textapp. `more`: further columns of a system, by name."""
    rows = [
        {
            "system": f"{timing.name} ({timing.facts['version']})",
            **{f"p{share} ms": _short(timing.percentile(share)) for share in (50, 90, 99)},
            **more(timing),
            "textapp against it (95 %)": "" if timing is timings[0] else verdict(timing.blocks, timings[0].blocks),
            **{name: f"{figure:.2f}" for name, figure in timing.quality.items()},
            "size MB": f"{timing.facts['size_bytes'] / 1e6:.1f}",
            "first answer s": f"{timing.facts['first_answer_s']:.2f}",
            "memory MB": f"{timing.facts['memory_mb']:.0f}",
        }
        for timing in timings
    ]
    return markdown(rows)


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """A table whose columns are the keys of its rows."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace("| --- ", "|---")


def verdict(theirs: np.ndarray, ours: np.ndarray) -> str:
    """The speed-up of textapp, in words; ahead or behind only if the displayed interval does not contain 1.

    Example: blocks of 2 ms against ours of 1 ms give `textapp ahead, 2.00x [2.00, 2.00]`.
    """
    ratio, low, high = (round(value, 2) for value in ratio_interval(theirs, ours))
    word = "textapp ahead" if low > 1 else "textapp behind" if high < 1 else "no difference"
    return f"{word}, {ratio:.2f}x [{low:.2f}, {high:.2f}]"


def _short(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def machine_limits() -> str:
    """The current speed of one core, in a line: fp32 matrix product and reading from memory, by NumPy."""
    code = (
        "import time, numpy as np\n"
        "a = np.ones((1024, 1024), np.float32); a @ a; t = []\n"
        "for _ in range(5):\n"
        "    s = time.perf_counter(); a @ a; t.append(time.perf_counter() - s)\n"
        "b = np.ones(1 << 26, np.float32); b.sum(); r = []\n"
        "for _ in range(5):\n"
        "    s = time.perf_counter(); b.max(); r.append(time.perf_counter() - s)\n"
        "print(f'{2 * 1024**3 / min(t) / 1e9:.0f} GFLOP/s in fp32, {b.nbytes / min(r) / 1e9:.1f} GB/s from memory')\n"
    )
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
    probe = ["taskset", "-c", "0", sys.executable, "-c", code]
    found = subprocess.run(probe, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "CPU",
    )
    return f"{model}, {os.cpu_count()} cores; one core: {found}; load {os.getloadavg()[0]:.1f}"


def reading_speed(num_bytes: int) -> float:
    """Bytes per second at which one core reads `num_bytes` repeatedly, from a cache if they fit.

    The probe is the inner product of the two halves, the fastest way to read in NumPy.
    """
    code = (
        "import sys, time, numpy as np\n"
        "half = int(sys.argv[1]) // 8; a = np.ones(2 * half, np.float32); t = []\n"
        "for _ in range(200 if a.nbytes < 1 << 26 else 10):\n"
        "    s = time.perf_counter(); np.dot(a[:half], a[half:]); t.append(time.perf_counter() - s)\n"
        "print(a.nbytes / min(t))\n"
    )
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
    probe = ["taskset", "-c", "0", sys.executable, "-c", code, str(num_bytes)]
    return float(subprocess.run(probe, env=environment, capture_output=True, text=True, check=True).stdout)
