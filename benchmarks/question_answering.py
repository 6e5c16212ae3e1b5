"""A reader on a pretrained encoder against OpenVINO int8 and ONNX Runtime int8, on the same weights.

    python benchmarks/question_answering.py prepare RUN --data TEST   builds the peers of the next two, times nothing
    python benchmarks/question_answering.py model   RUN --data TEST   features of a window to span, padded to --length
    python benchmarks/question_answering.py texts   RUN --data TEST   question and context to answer, all windows

The peers have textapp's tokenizer, its windows and its choice of the best span; only the model is theirs. README.md in
this folder describes the set-up.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from engines import main, nothing, timed

sys.path.insert(0, str(Path(__file__).parents[1]))

ENGINES = {"OpenVINO int8": "openvino_int8.py", "ONNX Runtime int8": "onnxruntime_int8.py"}


def model_only(options: argparse.Namespace) -> None:
    """Times the first window of each question, padded; the quality is the share of spans that Keras finds, too."""
    spans = np.array(json.loads((options.work / "spans.json").read_text(encoding="utf-8")))

    def judge(answers: list[Any]) -> dict[str, float]:
        return {"spans as in fp32 %": 100 * float(np.mean((np.array(answers) == spans).all(1)))}

    print(f"### Model only, {options.length} tokens, {options.threads} thread(s)\n")
    timed(options, ENGINES, "ids", options.length, judge, len(spans))


def texts(options: argparse.Namespace) -> None:
    """Times question and context to answer: peers with dynamic shapes, then padded; textapp uses its lengths."""
    from textapp.metrics.question_answering import answer_scores

    records = json.loads((options.work / "examples.json").read_text(encoding="utf-8"))["records"]
    right = [[answer["text"] for answer in record["answers"]] for record in records]

    def judge(answers: list[str]) -> dict[str, float]:
        exact, overlap = answer_scores(answers, right, [options.language] * len(right))
        return {"EM": 100 * float(np.mean(exact)), "F1": 100 * float(np.mean(overlap))}

    options.language = json.loads((options.bundle / "manifest.json").read_text(encoding="utf-8"))["languages"][0]
    for length in (None, options.length):
        shapes = f"peers padded to {length}" if length else "peers with dynamic shapes, no mask"
        print(f"### Question and context to answer, {shapes}, {options.threads} thread(s)\n")
        timed(options, ENGINES, "text", length, judge, len(records))


TABLES = {"prepare": nothing, "model": model_only, "texts": texts}

if __name__ == "__main__":
    main(__doc__, TABLES)
