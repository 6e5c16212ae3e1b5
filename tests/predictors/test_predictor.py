"""The predictor over a runner that counts: batching, order, workers."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from textapp import loading
from textapp.artifact import Artifact
from textapp.catalog import task_from_manifest
from textapp.errors import ArtifactError, UsageError
from textapp.loading import load_artifact
from textapp.predictors.predictor import Predictor
from textapp.runners import interpreter
from textapp.tasks.classification import ClassificationTask
from textapp.text.template import Template


class Words:
    kind, vocabulary_size, pad_id, unknown_id = "words", 100, 0, 1

    def ids(self, text: str) -> list[int]:
        return [len(word) + 1 for word in text.split()]

    def join(self, ids: list[int], pair: list[int] | None, length: int) -> tuple[list[int], list[int]]:
        return Template().join(ids, pair, length)


class Sums:
    """Answers with the share of the ids' sum in 100, and remembers the shapes it was asked for."""

    def __init__(self, max_batch: int = 1, shapes: list | None = None) -> None:
        self.max_batch = max_batch
        self.shapes = [] if shapes is None else shapes

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids = features["token_ids"]
        assert ids.dtype == np.int32 and signature == f"classify_{ids.shape[1]}"
        self.shapes.append(ids.shape)
        share = ids.sum(axis=1, keepdims=True) / 100.0
        return {"probabilities": np.concatenate([share, 1 - share], axis=1).astype(np.float32)}

    def clone(self) -> Sums:
        return Sums(self.max_batch, self.shapes)


def make(max_batch: int = 1, pair: bool = False) -> Predictor:
    return Predictor(ClassificationTask(Words(), ["a", "b"], [2, 4], pair=pair), Sums(max_batch), {}, Path())


TEXTS = ["x", "xx yy zz", "", "a b c d e f", "hello there"]


@pytest.mark.parametrize("max_batch", [1, 3])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_batch_answers_as_single_calls_do_in_order(max_batch: int, workers: int) -> None:
    predictor = make(max_batch)
    assert predictor.batch(TEXTS, workers) == [predictor(text) for text in TEXTS]


def test_texts_share_a_call_with_texts_of_their_length() -> None:
    predictor = make(max_batch=8)
    predictor.batch(TEXTS)
    assert sorted(predictor.runner.shapes) == [(2, 4), (3, 2)]


def test_an_empty_batch_has_no_answers() -> None:
    assert make().batch([]) == []


def test_records_and_pairs_are_taken_too() -> None:
    predictor = make()
    assert predictor.batch([{"text": "hello"}])[0] == predictor("hello")
    pairs = make(pair=True)
    answers = pairs.batch([("hello", "there"), ["hello", "there"], {"text": "hello", "text_pair": "there"}])
    assert answers == [pairs("hello", "there")] * 3 == [pairs("hello", text_pair="there")] * 3
    assert answers[0].input == ["hello", "there"]


@pytest.mark.parametrize("found", [None, 7, b"hello", {"label": "x"}, ("a", "b", "c")])
@pytest.mark.parametrize(("pair", "expected"), [(False, "a text or a record"), (True, "a text, a pair of texts")])
def test_what_is_no_text_is_refused(found: object, pair: bool, expected: str) -> None:
    for call in (lambda: make(pair=pair)(found), lambda: make(pair=pair).batch([found])):
        with pytest.raises(UsageError, match=f"expected {expected}"):
            call()


def test_a_second_text_is_not_ignored() -> None:
    for call in (lambda: make()("a", "b"), lambda: make()({"text": "a", "text_pair": "b"})):
        with pytest.raises(UsageError, match="found a second text, 'b': this model takes one text"):
            call()
    for several in (["good", "bad"], ("good", "bad")):
        with pytest.raises(UsageError, match="expected a text or a record .*; several texts go to batch"):
            make()(several)
    for wrong in (
        ("a", 7),
        (7, "b"),
        {"text": "a", "text_pair": 7},
        "a",
        {"text": "a"},
        {"text": "a", "text_pair": None},
    ):
        with pytest.raises(UsageError, match="expected two texts"):
            make(pair=True)(wrong)
    assert make(pair=True)("a", "").input == ["a", ""]


def test_a_batch_is_a_list() -> None:
    for one in ("good", {"text": "good"}):
        with pytest.raises(UsageError, match="batch: found one .*, expected a list of them"):
            make().batch(one)
    assert [answer.input for answer in make().batch(np.array(["good", "bad"]))] == ["good", "bad"]
    for none in (None, 5, b"good", Path("reviews.csv"), np.array("good")):
        with pytest.raises(UsageError, match="batch: found .*, expected a list of texts or records"):
            make().batch(none)  # type: ignore[arg-type]


def test_the_columns_of_a_table_are_not_answered() -> None:
    table = types.SimpleNamespace(columns=["text", "label"], __iter__=lambda: iter(["text", "label"]))
    with pytest.raises(UsageError, match=r"batch: found a table with the columns \['text', 'label'\], expected a list"):
        make().batch(table)  # type: ignore[arg-type]


def test_a_field_is_given_once() -> None:
    for pair in (False, True):
        with pytest.raises(UsageError, match="found 3 values, expected text"):
            make(pair=pair)("a", "b", "c")
        with pytest.raises(UsageError, match="text: found it twice, by its place and by its name, expected it once"):
            make(pair=pair)("a", text="b")
    assert make(pair=True)("a", text_pair="b").input == ["a", "b"]


@pytest.mark.parametrize(
    ("runtime", "usable", "expected"),
    [
        ("auto", True, "tflite-runtime"),
        ("auto", False, "auto"),
        ("litert", True, "litert"),
    ],
)
def test_auto_is_the_runtime_that_the_bundle_was_verified_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, usable: bool, expected: str
) -> None:
    artifact = Artifact(tmp_path, {"kind": "bundle", "target": "tflite-runtime"})
    monkeypatch.setattr(interpreter, "usable", lambda name: usable and name == "tflite-runtime")
    assert loading._runtime(artifact, runtime) == expected


@pytest.mark.parametrize("count", [0, "2", 1.5, True])
def test_threads_and_workers_are_counted_from_one(tmp_path, count: object) -> None:
    for name in ("threads", "workers"):
        with pytest.raises(UsageError, match=f"{name}: found {count!r}, expected a whole number from 1"):
            load_artifact(Artifact(tmp_path, {}), **{name: count})


@pytest.mark.parametrize(("task", "key"), [("translation", "languages"), ("generation", "lengths")])
def test_a_manifest_without_a_key_is_told(task, key) -> None:
    with pytest.raises(ArtifactError, match=f"the manifest: has no key '{key}', expected .*: copy the whole folder"):
        task_from_manifest({"task": task}, (None, None))
