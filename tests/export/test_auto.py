from __future__ import annotations

import pytest
from exports import export_run

from textapp.artifact import open_artifact
from textapp.errors import ExportError
from textapp.export.auto import choose, fastest


def entry(quantize: str, p50: float, size_bytes: int) -> dict:
    return {"quantize": quantize, "latency_ms": {"p50": p50, "p90": 2 * p50}, "size_bytes": size_bytes}


def test_the_fastest_wins_and_the_smallest_among_equals():
    assert fastest([entry("none", 1.0, 400), entry("dynamic", 0.5, 100)]) == "dynamic"
    assert fastest([entry("none", 1.0, 400), entry("int8", 2.0, 100)]) == "none"
    assert fastest([entry("none", 1.0, 400), entry("float16", 1.04, 200), entry("int8", 1.2, 100)]) == "float16"


def test_when_all_are_refused_every_reason_is_told(tmp_path):
    def refuse(quantize):
        raise ExportError(f"{quantize} is broken")

    with pytest.raises(ExportError, match=r"none: none is broken(.|\n)*int8: int8 is broken"):
        choose(refuse, ["none", "int8"], "litert", {}, (), tmp_path)


def test_auto_writes_down_all_that_it_tried(run, records, tmp_path, monkeypatch):
    monkeypatch.setattr("textapp.export.auto.SECONDS", 0.2)
    manifest = open_artifact(export_run(run, "litert", "auto", 0.5, records, out=tmp_path / "litert")).manifest
    tried = {entry["quantize"]: entry for entry in manifest["tried"]}
    assert tried.keys() == {"none", "float16", "dynamic", "int8"}
    passed = [entry for entry in manifest["tried"] if "reason" not in entry]
    assert manifest["quantize"] == fastest(passed)
    for figures in passed:
        assert figures["size_bytes"] > 0
        assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p90"]
        assert figures["accuracy"] >= 95
    assert tried["dynamic"]["size_bytes"] < tried["none"]["size_bytes"]
