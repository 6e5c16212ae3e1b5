"""Weights of a generator to CTranslate2 models, checked in float32 against the Keras model's tokens.

Runs in the peers' environment: `python benchmarks/peers/build_generator.py WORK`; prints one JSON object.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import ctranslate2
import torch
from generator_ctranslate2 import write_model
from generator_torch import Generator
from serve import facts_of, weights_of
from writer_ctranslate2 import load_single
from writing import WritingJob

TORCH_CHECKED = 10  # answers: the module takes minutes for all of them
MIN_SAME = 0.95  # float32 sums in another order: where two tokens are as likely, another one may win


def main(work: Path) -> dict[str, str]:
    facts, weights = facts_of(work), weights_of(work)
    for quantization in ("float32", "int8"):
        folder = work / f"ctranslate2_{quantization}"
        shutil.rmtree(folder, ignore_errors=True)
        write_model(facts, weights, folder, quantization)
    twin = Generator(facts, weights).eval()
    report = {"ctranslate2": ctranslate2.__version__, "torch": torch.__version__}
    queries = json.loads((work / "queries.json").read_text(encoding="utf-8"))
    for variant in ("float32", "int8"):
        job = {"work": str(work), "bundle": "", "mode": "ids", "threads": 1, "variant": variant}
        answer, _ = load_single(WritingJob.parse(json.dumps(job)))
        report[f"ctranslate2 {variant} writes the Keras model's tokens"] = _same(queries["expected"], answer, variant)
    report["torch float32 writes the Keras model's tokens"] = _same(
        queries["expected"][:TORCH_CHECKED],
        lambda index: twin.generate(queries["ids"][index], queries["new"], fixed=True),
        "float32",
    )
    return report


def _same(expected: list[list[int]], answer: Callable[[int], list[int]], variant: str) -> str:
    """How many answers are the very tokens; in float32 nearly all have to be."""
    found = [answer(index) for index in range(len(expected))]
    same = sum(one == other for one, other in zip(found, expected, strict=True))
    if variant == "float32" and same < MIN_SAME * len(expected):
        raise SystemExit(f"float32: {same} of {len(expected)} answers are those of the Keras model: {found[0]}")
    return f"{same}/{len(expected)}"


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
