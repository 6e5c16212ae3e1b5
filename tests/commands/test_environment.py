from __future__ import annotations

import pytest

from textapp.commands import environment as module
from textapp.commands.environment import conflicts, environment, missing_from

WHOLE = {
    "tensorflow": "2.21.0", "keras": "3.15.1", "keras-hub": "0.32.0", "tensorflow-text": "2.21.1", "tf-keras": "2.21.0",
    "numpy": "1.26.4", "ai-edge-litert": "2.3.0", "tflite-runtime": "2.14.0",
}  # fmt: skip


def test_versions_that_go_together_are_passed() -> None:
    assert conflicts(WHOLE, (3, 11)) == []


@pytest.mark.parametrize(
    ("changed", "mend"),
    [
        ({"numpy": "2.1.0"}, "pip install 'numpy<2'"),
        ({"tensorflow-text": "2.20.0"}, "pip install 'tensorflow-text==2.21.*'"),
        ({"tf-keras": "2.19.0"}, "pip install 'tf-keras==2.21.*'"),
        ({"keras": "2.15.0"}, "pip install 'keras>=3'"),
    ],
)
def test_each_conflict_names_its_mend(changed: dict[str, str], mend: str) -> None:
    (line,) = conflicts({**WHOLE, **changed}, (3, 11))
    assert line.endswith(mend)


def test_what_is_missing_is_told() -> None:
    bare = {"numpy": "2.1.0"}
    assert conflicts(bare, (3, 12)) == ["no interpreter of .tflite files is installed: pip install 'textapp[litert]'"]
    assert missing_from("evaluate", bare) == ["scikit-learn", "matplotlib"]
    assert "only" in conflicts(WHOLE, (3, 12))[0]


def test_a_tensorflow_that_does_not_start_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEVICES", "raise ImportError('no such library')")
    monkeypatch.setattr(module.util, "find_spec", lambda name: object())
    devices, fault = module.tensorflow_devices()
    assert devices is None and "cannot be imported" in fault and "no such library" in fault


def test_environment_without_tensorflow_has_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.util, "find_spec", lambda name: None)
    found = environment()
    assert found["devices"] is None and found["packages"]["numpy"] and found["usable_cores"] >= 1
