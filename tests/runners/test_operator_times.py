from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from textapp.errors import ArtifactError
from textapp.runners import operator_times as profile
from textapp.runners.operator_times import operator_times, shared, summed

SUMMARY = """
=================== Run Order ===================
     [node type]    [start]    [first]   [avg ms]        [%]     [cdf%]   [mem KB] [times called]   [Name]
          GATHER      0.016      0.012      0.003    10.000%    10.000%      0.000             20   [Builtin]:3
           WHILE      0.016      0.012      0.003    50.000%    60.000%      0.000             20   [Builtin]:4
   Delegate/Convolution (NHWC, F32) IGEMM  0.000  0.083  1.306  30.000%  90.000%      0.000       20   [Delegate]:3
   Delegate/Convolution (NHWC, F32) IGEMM  0.000  0.083  1.306  10.000%  100.000%     0.000       20   [Delegate]:5
=================== Top by Computation Time ===================
          GATHER      0.016      0.012      0.003    10.000%    10.000%      0.000             20   [Builtin]:3
"""


def test_equal_operators_add_up_and_a_loop_is_what_is_in_it() -> None:
    assert summed(SUMMARY) == [("Convolution (NHWC, F32) IGEMM", 80.0), ("GATHER", 20.0)]
    assert summed("") == shared({}) == []


def test_the_median_of_the_rounds_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([{"a": 50.0, "b": 50.0}] * 3 + [{"a": 99.0, "b": 1.0}] * 2)
    monkeypatch.setattr(profile, "_one_round", lambda *_: list(next(rounds).items()))
    assert operator_times(Path("x"), {}) == [("a", 50.0), ("b", 50.0)]


def test_a_bundle_is_profiled(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = importlib.util.find_spec("ai_edge_litert")
    if package is None or not Path(str(package.origin)).with_name("libLiteRt.so").exists():
        pytest.skip("no library of LiteRT here")
    monkeypatch.setattr(profile, "ROUNDS", 1)
    file = tiny_bundle / "model.tflite"
    found = operator_times(file, {"signature": "classify_16", "inputs": {"token_ids": [[5] * 16]}})
    assert sum(percent for _, percent in found) == pytest.approx(100, abs=0.1)
    assert any("onvolution" in name or "CONV_2D" in name for name, _ in found)
    with pytest.raises(ArtifactError, match="gives no profile of it, expected that of version 2.3"):
        operator_times(file, {"signature": "absent", "inputs": {}})
