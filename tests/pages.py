"""Facts of made-up runs, and folders that look like runs, for tests of reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textapp.artifact import write_manifest
from textapp.report.facts import Facts, RunFacts, Variant

MEASURES = {"accuracy": "accuracy", "f1_macro": "macro F1"}
LABELS = ["<script>alert(1)</script>", "好评", "إيجابي"]


def make_variant(name: str = "litert float32", run: str = "run", p50: float = 2.0, accuracy: float = 90.0, **more: Any):
    """A variant that was measured with all others."""
    fields = {
        "sizes": {"file_bytes": 4_000_000, "gzip_bytes": 3_600_000, "parameters": 1_000_000, "nonzero": 1_000_000},
        "quality": {"accuracy": accuracy, "f1_macro": accuracy},
        "intervals": {"accuracy": [accuracy - 2, accuracy + 2]},
        "data": "test (test.tsv)",
        "speed": {
            "latency_ms": {"p50": p50, "p90": 2 * p50, "p99": 3 * p50},
            "peak_memory_mb": 60.0,
            "start_ms": 120.0,
        },
        "measured": {"measured": "2026-01-02T03:04:05Z", "machine": {"cpu": "Some CPU"}},
    }
    return Variant(name, run, **{**fields, **more})


def make_facts(**more: Any) -> Facts:
    """A classifier of labels that are hard to show, with three variants, all figures, and a long list of texts."""
    profile = {"signature": "classify_16", "operators": [["CONV_2D", 75.0], ["GATHER", 25.0]]}
    counts = {"weight_bytes": 1000, "multiply_adds": 2000}
    limit = {**counts, "reading_ms": 0.1, "products_ms": 0.5, "taken_ms": 2.0, "share": 0.25}
    small = {"file_bytes": 1_000_000, "gzip_bytes": 900_000, "parameters": 1_000_000, "nonzero": 990_000}
    measured = {**make_variant().measured, "profile": profile, "limit": limit}
    int8 = make_variant("litert int8", p50=1.0, accuracy=89.5, sizes=small, measured=measured)
    manifest = {
        "task": "classification", "labels": LABELS, "languages": ["zh", "ar"], "architecture": "cnn",
        "versions": {"textapp": "1"}, "lengths": [16, 128], "tokenizer": {"kind": "bpe", "vocabulary_size": 99},
    }  # fmt: skip
    history = [{"epoch": epoch, "validation_accuracy": 80.0 + epoch} for epoch in (1, 2, 3)]
    training = {"history": history, "seconds": 12.0, "examples": 1234}
    texts = [{"text": "好" * 300, "label": LABELS[0]}, {"text": "مرحبا بالعالم", "label": "W" * 120}]
    run = RunFacts(
        "run", manifest, "abc", config="task: classification\n" + "x" * 200,
        metrics={"training": training, "test": {"data": "test.tsv", "examples": 300}},
        variants=[make_variant("keras float32", p50=20.0, accuracy=90.0), make_variant(p50=2.0), int8],
        confusion=([[80, 10, 10], [0, 90, 10], [5, 5, 90]], "test (test.tsv)"),
        samples=("Wrong answers", texts),
    )  # fmt: skip
    return Facts([run], MEASURES, **more)


def make_run(folder: Path, metrics: Mapping[str, Any], **manifest: Any) -> Path:
    """A folder that is a run to its manifest, whose model no one opens."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "config.yaml").write_text("task: x\ndata: {train: [a.tsv, b.tsv]}\n", encoding="utf-8")
    write_manifest(folder, {"kind": "run", "task": "classification", "labels": ["a", "b"], **manifest})
    return folder
