"""A stranger's bundle: an answer, or one line that says what is wrong with it."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textapp
from textapp.artifact import MANIFEST, TOKENIZER, sha256, write_manifest
from textapp.errors import ArtifactError, TextappError, UsageError

BAD: list[Any] = [None, "", [], -1, 10**9, 1e308, "wrong", [[[[]]]], {"a": None}, [10**9]]


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def rewrite(bundle: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Writes the manifest as a stranger would: with the right checksums."""
    file = bundle / MANIFEST
    manifest = json.loads(file.read_text(encoding="utf-8"))
    manifest["files"] = {name: sha256(bundle / name) for name in manifest["files"] if (bundle / name).is_file()}
    if change:
        change(manifest)
    file.write_text(json.dumps(manifest), encoding="utf-8")


def test_a_bundle_in_a_process_of_its_own(tiny_bundle: Path) -> None:
    texts = ["The food was great.", "这家酒店很好。", ""]
    alone, isolated = textapp.load(tiny_bundle), textapp.load(tiny_bundle, isolated=True, workers=2)
    assert isolated.batch(texts) == alone.batch(texts) == [isolated(text) for text in texts]
    os.kill(isolated.runner._process.pid, 11)
    with pytest.raises(ArtifactError, match="its process crashed"):
        isolated(texts[0])
    assert isolated(texts[0]) == alone(texts[0])


def test_a_saved_model_is_opened_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"a program")
    write_manifest(tmp_path, {"kind": "bundle", "task": "classification"})
    with pytest.raises(UsageError, match=r"a program that can read and write any file .*trusted=True\), or --trusted"):
        textapp.load(tmp_path)
    with pytest.raises(ArtifactError, match="found 0 files in tokenizer/"):
        textapp.load(tmp_path, trusted=True)


def test_what_is_no_path_and_what_is_no_flag(tiny_bundle: Path) -> None:
    for path in (None, b"bundle", 5, ["bundle"]):
        with pytest.raises(UsageError, match="path: found .*, expected that of a run folder or a bundle"):
            textapp.load(path)  # type: ignore[arg-type]
    for name in ("trusted", "isolated"):
        for value in ("no", "false", 1, None):
            with pytest.raises(UsageError, match=f"{name}: found {value!r}, expected True or False"):
                textapp.load(tiny_bundle, **{name: value})
    assert textapp.load(tiny_bundle, trusted=np.bool_(False))("good").label
    with pytest.raises(UsageError, match="threshold: found True, expected a number from 0 to 1"):
        textapp.load(tiny_bundle, threshold=True)


def test_isolated_is_for_tflite_files(tiny_run: Path) -> None:
    with pytest.raises(UsageError, match=r"isolated is for bundles with a model\.tflite: leave it out"):
        textapp.load(tiny_run, isolated=True)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a length without a signature": (
        lambda manifest: manifest.update(lengths=[7]), r"manifest\.json: its lengths need the signature 'classify_7'"),
    "a giant length": (
        lambda manifest: manifest.update(lengths=[10**9]), r"key 'lengths': found \[1000000000\], expected a list of"),
    "a label too many": (
        lambda manifest: manifest["labels"].append("new"), r"model\.tflite: signature .*: found probabilities of the"),
    "a label twice": (
        lambda manifest: manifest["labels"].__setitem__(0, manifest["labels"][1]), "texts, all different"),
    "labels that are numbers": (lambda manifest: manifest.update(labels=[1, 2]), r"key 'labels': found \[1, 2\], exp"),
    "a model of pairs": (
        lambda manifest: manifest.update(features=["token_ids", "segment_ids"]), "found segment_ids of the shape none"),
    "another vocabulary": (
        lambda manifest: manifest["tokenizer"].update(vocabulary_size=9),
        r"key 'tokenizer.vocabulary_size': found 9, but the files in tokenizer/ have"),
    "batches without a signature": (lambda manifest: manifest.update(batch_size=4), "need the signature 'batch_4_clas"),
    "no model": (lambda manifest: manifest["files"].pop("model.tflite"), r"model\.tflite: found a file that"),
    "no vocabulary": (
        lambda manifest: manifest["files"].pop("tokenizer/sentencepiece.model"), "manifest.json does not list"),
    "no labels": (lambda manifest: manifest.pop("labels"), "has no key 'labels', expected a list"),
    "an unknown task": (lambda manifest: manifest.update(task="x" * 10**6), "task: found 'xxx.{50,70}xxx', exp"),
    "a name outside": (
        lambda manifest: manifest["files"].update({"../outside": "0" * 64}), "'../outside', expected names of"),
    "an absolute name": (
        lambda manifest: manifest["files"].update({"/etc/hostname": "0" * 64}), "'/etc/hostname', expected names of"),
    "no checksum": (lambda manifest: manifest["files"].update({"model.tflite": None}), "key 'files': found .* exp"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_parts_that_do_not_go_together(bundle: Path, name: str) -> None:
    change, message = CHANGES[name]
    rewrite(bundle, change)
    with pytest.raises(ArtifactError, match=message) as error:
        textapp.load(bundle)
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)


@pytest.mark.parametrize("file", [MANIFEST, "tokenizer/settings.json"])
def test_any_value_of_any_key_gives_an_answer_or_an_error_of_ours(bundle: Path, file: str) -> None:
    good = json.loads((bundle / file).read_text(encoding="utf-8"))
    answered = refused = 0
    for key in good:
        for value in [*BAD, "missing"]:
            content = {**good, key: value} if value != "missing" else {k: v for k, v in good.items() if k != key}
            (bundle / file).write_text(json.dumps(content), encoding="utf-8")
            if file != MANIFEST:
                rewrite(bundle)
            try:
                assert textapp.load(bundle)("good").input == "good"
                answered += 1
            except TextappError as error:
                assert key in str(error) and len(str(error)) < 700
                refused += 1
    assert refused > 2 * answered > 0


def test_a_link_out_of_the_folder_and_a_pipe(bundle: Path, tmp_path: Path) -> None:
    model = bundle / "model.tflite"
    model.rename(tmp_path / "elsewhere")
    model.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match=r"found 'model\.tflite', a link that leads out of the folder"):
        textapp.load(bundle)
    model.unlink()
    os.mkfifo(model)
    with pytest.raises(ArtifactError, match=r"model\.tflite: found a pipe, expected a regular file"):
        textapp.load(bundle)
    (tmp_path / "elsewhere").rename(bundle / "weights")
    model.unlink()
    model.symlink_to("weights")  # inside the folder
    assert textapp.load(bundle)("good").input == "good"


@pytest.mark.parametrize("name", ["model.tflite", "tokenizer/sentencepiece.model", MANIFEST])
def test_a_pointer_of_git_lfs(bundle: Path, name: str) -> None:
    (bundle / name).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 9\n")
    with pytest.raises(ArtifactError, match=f"{name}: found a Git LFS pointer .*: run git lfs pull"):
        textapp.load(bundle)


def test_a_file_that_would_be_loaded_unlisted(bundle: Path) -> None:
    shutil.copytree(bundle / TOKENIZER, bundle / "target_tokenizer")
    with pytest.raises(
        ArtifactError, match=r"target_tokenizer/sentencepiece\.model: found a file that .* does not list"
    ):
        textapp.load(bundle)


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_predictor_stays_in_its_process(tiny_bundle: Path, way: Callable[[Any], Any]) -> None:
    predictor = textapp.load(tiny_bundle)
    with pytest.raises(UsageError, match=r"cannot be pickled or copied.*: call textapp\.load\(.*\) in each process"):
        way(predictor)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_bundle_answers_after_a_fork(tiny_bundle: Path) -> None:
    predictor = textapp.load(tiny_bundle, threads=2)
    expected = predictor("good")
    child = os.fork()
    if not child:
        same = False
        try:
            same = predictor("good") == expected
        finally:
            os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert predictor("good") == expected
