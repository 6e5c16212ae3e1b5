"""What every timed system shares: one process, asked through stdin, answering through stdout, timing each query itself.

A request is `{"indices": [3, 8], ...}`, its answer `{"answers": [0, 1], "times_ms": [1.9, 2.1]}`. The time of a query
is taken around the query alone, so that the pipe costs nobody anything.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Weights = dict[str, np.ndarray]
Run = Callable[[Arrays], np.ndarray]


@dataclass
class Job:
    """What to load and what to be asked.

    Attributes:
        work: the folder that weights.py and peers/build.py filled.
        bundle: the bundle of textapp; the peers take its tokenizer.
        mode: `ids`: features to label or span; `full`: each text repeated to `length`; `text`: string to answer.
        length: pad to this many tokens; None: as long as the text.
        threads: threads inside one answer; for throughput the threads in all.
        variant: the last word of the system's name, for engines that are timed with several files.
    """

    work: Path
    bundle: Path
    mode: str
    length: int | None
    threads: int
    variant: str
    texts: list[Any] = field(default_factory=list)
    rows: list[dict[str, list[int]]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Job:
        raw = json.loads(text)
        examples = json.loads((Path(raw["work"]) / "examples.json").read_text(encoding="utf-8"))
        job = cls(Path(raw["work"]), Path(raw["bundle"]), raw["mode"], raw["length"], raw["threads"], raw["variant"])
        job.texts, job.rows = examples["texts"], examples["rows"]
        if job.mode == "full":
            job.rows = [{name: (values * job.length)[: job.length] for name, values in row.items()} for row in job.rows]
        return job

    @property
    def reads(self) -> bool:
        """Whether the answer is a span of the text, and not a label."""
        return facts_of(self.work)["task"] == "question_answering"

    def task(self) -> Any:
        """The task of the bundle with its tokenizer, which cuts texts to the longest bucket: every system has it."""
        from textapp.artifact import TOKENIZER
        from textapp.catalog import task_from_manifest
        from textapp.text.tokenizer import load_tokenizer

        manifest = json.loads((self.bundle / "manifest.json").read_text(encoding="utf-8"))
        return task_from_manifest(manifest, load_tokenizer(self.bundle / TOKENIZER))

    def encoder(self) -> Callable[[str], dict[str, list[int]]]:
        """A text to its features."""
        task = self.task()
        return lambda text: {"token_ids": task.features({"text": text})["token_ids"]}

    def arrays(self, rows: Sequence[Mapping[str, Sequence[int]]], pad_id: int) -> Arrays:
        """Rows of features to arrays of the same names, and `attention_mask`, each `[rows, length]` int64."""
        length = self.length or max(len(row["token_ids"]) for row in rows)
        arrays = {name: np.zeros((len(rows), length), np.int64) for name in (*rows[0], "attention_mask")}
        arrays["token_ids"][:] = pad_id
        for number, row in enumerate(rows):
            for name, values in row.items():
                arrays[name][number, : len(values)] = values[:length]
            arrays["attention_mask"][number, : len(row["token_ids"])] = 1
        return arrays

    def answerer(self, run: Run, pad_id: int) -> Callable[[int], Any]:
        """The query that is timed: the index of a text to the index of its label, or to its span or answer."""
        if self.mode != "text":
            prepared = [self.arrays([row], pad_id) for row in self.rows]
            if self.reads:
                return lambda index: run(prepared[index])[0].argmax(0).tolist()
            return lambda index: int(run(prepared[index])[0].argmax())
        if self.reads:
            return self._reader(run, pad_id)
        encode = self.encoder()
        return lambda index: int(run(self.arrays([encode(self.texts[index])], pad_id))[0].argmax())

    def _reader(self, run: Run, pad_id: int) -> Callable[[int], str]:
        """Windows and the best span over them are those of textapp; only the model differs."""
        task = self.task()

        def answer(index: int) -> str:
            record = task.record(self.texts[index])
            outputs = []
            for request in task.requests(record):
                logits = run(self.arrays([request.features], pad_id))[0]
                outputs.append({"start_logits": logits[:, 0], "end_logits": logits[:, 1]})
            return task.answer(record, outputs).answer

        return answer


def serve(
    load: Callable[[Any], tuple[Callable[[int], Any], Mapping[str, Any]]], parse: Callable[[str], Any] = Job.parse
) -> None:
    """Loads the system that the first argument describes and answers until stdin ends.

    Args:
        load: a job to (index of a text -> its answer, facts to print such as its size in bytes).
        parse: the first argument to a job.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to stderr
    start = time.perf_counter()
    answer, facts = load(parse(sys.argv[1]))
    answer(0)
    _say(out, {**facts, "first_answer_s": time.perf_counter() - start})
    for line in sys.stdin:
        answers, times = [], []
        for index in json.loads(line)["indices"]:
            begin = time.perf_counter()
            found = answer(index)
            times.append(1000 * (time.perf_counter() - begin))
            answers.append(found)
        _say(out, {"answers": answers, "times_ms": times, "memory_mb": peak_memory_mb()})


def serve_whole(
    load: Callable[[Any], tuple[Callable[[int], list[Any]], Mapping[str, Any]]], parse: Callable[[str], Any] = Job.parse
) -> None:
    """For throughput: `{"batch": 8}` asks for the whole test set, `{"answers": [...], "seconds": 1.9}` answers."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer_all, facts = load(parse(sys.argv[1]))
    _say(out, dict(facts))
    for line in sys.stdin:
        begin = time.perf_counter()
        answers = answer_all(json.loads(line)["batch"])
        _say(out, {"answers": answers, "seconds": time.perf_counter() - begin})


def batches(
    job: Job, encode: Callable[[str], dict[str, list[int]]], batch: int, pad_id: int
) -> list[tuple[list[int], Arrays]]:
    """Tokenises all texts and groups them by length: `(indices, arrays)` of at most `batch` rows each."""
    rows = [encode(text) for text in job.texts]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]["token_ids"]))
    groups = [order[start : start + batch] for start in range(0, len(order), batch)]
    return [(group, job.arrays([rows[index] for index in group], pad_id)) for group in groups]


def peak_memory_mb() -> float:
    """The most memory that this process has held, from Linux's VmHWM."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def weights_of(work: Path) -> Weights:
    """The model's weights by name, from the same place."""
    with np.load(work / "weights.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def facts_of(work: Path) -> dict[str, Any]:
    """What weights.py wrote about the model: `task`, `pad_id`, `labels`, `architecture`, `config`."""
    return json.loads((work / "model.json").read_text(encoding="utf-8"))


def _say(out: Any, message: Mapping[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()
