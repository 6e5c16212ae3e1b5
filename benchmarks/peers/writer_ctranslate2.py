"""CTranslate2: greedy, batch 1, one thread a query; whole test sets on as many translators as there are workers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# CTranslate2 imports torch where it is installed: 180 MB that nothing here needs.
sys.modules.setdefault("torch", None)

import ctranslate2  # noqa: E402
from serve import facts_of, serve, serve_whole  # noqa: E402
from writing import WritingJob, most_new, token_names  # noqa: E402

BATCHES = [8, 16, 32, 64]


def load_single(job: WritingJob) -> tuple[Callable[[int], Any], dict[str, Any]]:
    facts = facts_of(job.work)
    folder = job.work / f"ctranslate2_{job.variant}"
    names = _names(facts)
    kind = {"device": "cpu", "compute_type": job.variant, "inter_threads": 1, "intra_threads": job.threads}
    write = _translator(folder, kind, names) if facts["encoder"] else _generator(folder, kind, names)
    return job.answerer(write), {"version": _version(), "size_bytes": (folder / "model.bin").stat().st_size}


def _translator(folder: Path, kind: dict[str, Any], names: list[str]) -> Callable[[list[int], int, bool], list[int]]:
    translator = ctranslate2.Translator(str(folder), **kind)

    def write(ids: list[int], new: int, fixed: bool) -> list[int]:
        result = translator.translate_batch(
            [[names[number] for number in ids]],
            beam_size=1,
            max_decoding_length=new,
            min_decoding_length=new if fixed else 1,
            return_end_token=True,
        )
        return [int(name) for name in result[0].hypotheses[0]]

    return write


def _generator(folder: Path, kind: dict[str, Any], names: list[str]) -> Callable[[list[int], int, bool], list[int]]:
    generator = ctranslate2.Generator(str(folder), **kind)

    def write(ids: list[int], new: int, fixed: bool) -> list[int]:
        result = generator.generate_batch(
            [[names[number] for number in ids]],
            beam_size=1,
            max_length=new,
            min_length=new if fixed else 0,
            include_prompt_in_result=False,
            return_end_token=True,
        )
        return result[0].sequences_ids[0]

    return write


def load_whole(job: WritingJob) -> tuple[Callable[[int], list[str]], dict[str, Any]]:
    facts, task = facts_of(job.work), job.task()
    names = _names(facts)
    translator = ctranslate2.Translator(
        str(job.work / f"ctranslate2_{job.variant}"),
        device="cpu",
        compute_type=job.variant,
        inter_threads=job.threads,
        intra_threads=1,
    )

    def answer_all(batch: int) -> list[str]:
        rows = [task.features({"source": text})["token_ids"] for text in job.texts]
        results = translator.translate_batch(
            [[names[number] for number in ids] for ids in rows],
            beam_size=1,
            max_batch_size=batch,
            max_decoding_length=most_new(task, max(map(len, rows))),
        )
        return [task.decode([int(name) for name in result.hypotheses[0]]) for result in results]

    return answer_all, {"version": _version(), "batches": BATCHES}


def _names(facts: dict[str, Any]) -> list[str]:
    return token_names(max(facts["vocabulary_size"], facts["source_vocabulary_size"]))


def _version() -> str:
    return f"ctranslate2 {ctranslate2.__version__}"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve_whole(load_whole, WritingJob.parse) if "--whole" in sys.argv else serve(load_single, WritingJob.parse)
