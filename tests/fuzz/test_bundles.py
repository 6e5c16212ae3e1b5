"""Damaged manifests, tokenizers and models give an answer or an error of ours, in bounded time and memory."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import Asker
from damaged import BYTES, damaged, damaged_json, flipped
from hypothesis import given, settings
from hypothesis import strategies as st

from textapp.artifact import MANIFEST, sha256

TASKS = ("classification", "translation", "generation")
EXAMPLES = int(os.environ.get("TEXTAPP_FUZZ", "30"))  # of each test; more find more
KINDS = ("sentencepiece", "bpe", "characters", "wordpiece")


def rewrite_manifest(bundle: Path) -> None:
    """Writes the checksums of the files, as who wants a bundle to be opened would."""
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"] = {name: sha256(bundle / name) for name in manifest["files"]}
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def damage(data: st.DataObject, good: bytes) -> bytes:
    """Changed bytes of a JSON file, mostly still JSON."""
    if data.draw(st.integers(0, 5)) == 0:
        return data.draw(flipped(data.draw(damaged(good, BYTES))))
    return data.draw(damaged_json(json.loads(good))).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("task", TASKS)
def test_manifests(task: str, bundle_of: Callable[[str], Path], copied: Callable[[Path], Path], ask: Asker) -> None:
    bundle = copied(bundle_of(task))
    good = (bundle / MANIFEST).read_bytes()
    assert ask(bundle) == "answer"

    @settings(max_examples=EXAMPLES)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        (bundle / MANIFEST).write_bytes(damage(data, good))
        found = ask(bundle)
        assert found == "answer" or str(bundle) in found or "task" in found, found

    check()


@pytest.mark.parametrize("task", TASKS)
def test_settings_of_the_tokenizer(
    task: str, bundle_of: Callable[[str], Path], copied: Callable[[Path], Path], ask: Asker
) -> None:
    bundle = copied(bundle_of(task))
    file = bundle / "tokenizer" / "settings.json"
    good = file.read_bytes()

    @settings(max_examples=EXAMPLES)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        file.write_bytes(damage(data, good))
        rewrite_manifest(bundle)
        found = ask(bundle)
        assert found == "answer" or str(bundle) in found, found

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_vocabularies(
    kind: str, tokenizer_of: Callable[[str], Path], copied: Callable[[Path], Path], ask: Asker
) -> None:
    folder = copied(tokenizer_of(kind))
    file = next(path for path in folder.iterdir() if path.name != "settings.json")
    good = file.read_bytes()
    assert ask(folder) == "answer"

    @settings(max_examples=EXAMPLES)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        if file.suffix == ".json":
            file.write_bytes(damage(data, good))
        else:
            file.write_bytes(data.draw(flipped(data.draw(damaged(good, BYTES)), 8)))
        found = ask(folder)
        assert found == "answer" or str(folder) in found, found

    check()


@pytest.mark.parametrize("task", TASKS)
def test_model_files(task: str, bundle_of: Callable[[str], Path], copied: Callable[[Path], Path], ask: Asker) -> None:
    bundle = copied(bundle_of(task))
    file = bundle / "model.tflite"
    good = file.read_bytes()
    dice = random.Random(int(os.environ.get("TEXTAPP_FUZZ_SEED", "0")))
    answered = 0
    for _ in range(EXAMPLES):
        changed = bytearray(good)
        for _ in range(dice.choice([1, 1, 1, 4])):
            changed[dice.randrange(len(good))] ^= 1 << dice.randrange(8)
        file.write_bytes(changed)
        rewrite_manifest(bundle)
        found = ask(bundle, isolated=True)
        answered += found == "answer"
        assert found == "answer" or str(bundle) in found, found
    assert answered


def test_what_is_no_error_of_ours_is_found(bundle_of: Callable[[str], Path], ask: Asker) -> None:
    bundle = bundle_of("classification")
    with pytest.raises(AssertionError, match="TypeError"):
        ask(bundle, path="given twice")
    assert ask(bundle) == "answer"
    os.kill(ask.pid, signal.SIGKILL)
    with pytest.raises(AssertionError, match=r"the process died \(-9\)"):
        ask(bundle)
    assert ask(bundle) == "answer"
