"""A report of a stranger's run, whose figures are damaged, is a page or an error of ours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from damaged import damaged_json
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import make_facts, make_run

from textapp.artifact import MANIFEST, Artifact, open_artifact, write_manifest
from textapp.commands.inspect import inspect
from textapp.errors import TextappError
from textapp.report.facts import gather
from textapp.report.findings import findings
from textapp.report.kept import checksum
from textapp.report.page import page

EXAMPLES = int(os.environ.get("TEXTAPP_FUZZ", "60"))
QUALITY = {
    "data": "test.tsv", "examples": 10, "accuracy": 90.0, "f1_macro": 89.0, "intervals": {"accuracy": [80.0, 95.0]},
    "confusion": [[4, 1], [0, 5]], "per_class": {"a": {"precision": 1.0, "recall": 80.0, "f1": 89.0, "examples": 5}},
}  # fmt: skip
SIZES = {"file_bytes": 9000, "gzip_bytes": 800, "parameters": 70, "nonzero": 30}
COMPRESSION = {
    "recipe": {"steps": [{"method": "prune", "sparsity": 0.8, "m_by_n": [2, 4], "model": {"architecture": "cnn"}}]},
    "before": {"sizes": SIZES, "test": {"accuracy": 91.0}}, "sizes": SIZES, "steps": [{"method": "prune"}],
}  # fmt: skip
HISTORY = [{"epoch": epoch, "loss": 1.0, "validation_accuracy": 80.0} for epoch in (1, 2)]
METRICS = {
    "training": {"history": HISTORY, "seconds": 12.0, "examples": 90, "parameters": 70}, "test": QUALITY,
    "compression": COMPRESSION,
}  # fmt: skip
FILES: dict[str, Any] = {
    "metrics.json": METRICS,
    "evaluation/metrics.json": QUALITY,
    "evaluation/benchmark.json": {".": {
        **QUALITY, **make_facts().runs[0].variants[0].speed, "threads": 1, "tokens_per_second": 9.0,
        **make_facts().runs[0].variants[2].measured,
    }},
    MANIFEST: {
        "labels": ["a", "b"], "languages": ["en"], "lengths": [8], "seed": 7, "parameters": 70,
        "parent": {"run": "before", "sha256": "abc"}, "tokenizer": {"kind": "bpe", "vocabulary_size": 99},
        "versions": {"textapp": "1"}, "quality": QUALITY,
    },
}  # fmt: skip
NAMES = st.lists(st.sampled_from(list(FILES)), min_size=1, max_size=2, unique=True)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_a_page_of_damaged_figures(data: st.DataObject) -> None:
    with TemporaryDirectory() as place:
        run = make_run(Path(place) / "run", METRICS)
        (run / "evaluation").mkdir()
        bad = {name: data.draw(damaged_json(FILES[name])) for name in data.draw(NAMES)}
        for name in set(FILES) - {MANIFEST, "evaluation/benchmark.json"}:
            (run / name).write_text(bad.get(name, json.dumps(FILES[name])), encoding="utf-8", errors="surrogatepass")
        manifest = json.loads(bad[MANIFEST]) if MANIFEST in bad else FILES[MANIFEST]
        more = manifest if isinstance(manifest, dict) else {}
        write_manifest(run, {**json.loads((run / MANIFEST).read_text()), **more}, ["metrics.json", "config.yaml"])
        rows = json.loads(bad.get("evaluation/benchmark.json", json.dumps(FILES["evaluation/benchmark.json"])))
        if isinstance(rows, dict) and isinstance(rows.get("."), dict):
            sums = json.loads((run / MANIFEST).read_text())
            rows["."]["model"] = checksum(Artifact(run, sums))
        (run / "evaluation" / "benchmark.json").write_text(json.dumps(rows), encoding="utf-8")
        try:
            facts = gather([open_artifact(run)])
            assert page(facts).endswith("</html>\n") and "<script" not in page(facts)
            assert all(isinstance(each.sentence(), str) for each in findings(facts))
            inspect(run)
            inspect(run, as_json=True)
        except TextappError:
            pass
