"""Eight threads share one predictor: each gets the answers that it would get alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from writers import make_documents, make_pairs

import textapp
from textapp.catalog import recipe_of, task_from_manifest
from textapp.decoding.options import Form
from textapp.errors import UsageError
from textapp.export.bundle import export_run
from textapp.export.options import ExportOptions
from textapp.predictors import answer_forms
from textapp.runners.pool import RunnerPool
from textapp.text.tokenizer import load_tokenizers

THREADS = 8
REVIEWS = [
    "The food was great and the staff were kind.",
    "这家酒店很好。",
    "",
    "太难吃了",
    "I hated this long and boring book.",
]


def together(calls: list[Callable[[], Any]]) -> list[Any]:
    """The answers to calls that start at the same time, in `THREADS` threads."""
    barrier = threading.Barrier(THREADS)

    def work(number: int) -> list[Any]:
        barrier.wait()
        return [(index, calls[index]()) for index in range(number, len(calls), THREADS)]

    with ThreadPoolExecutor(THREADS) as threads:
        answers = dict(pair for part in threads.map(work, range(THREADS)) for pair in part)
    return [answers[index] for index in range(len(calls))]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_classifier(tiny_bundle: Path, workers: int) -> None:
    predictor = textapp.load(tiny_bundle, workers=workers)
    texts = [f"{text} {number}" for number in range(60) for text in REVIEWS]
    alone = [predictor(text) for text in texts]
    assert together([partial(predictor, text) for text in texts]) == alone
    batches = together(
        [lambda at=at: predictor.batch(texts[at : at + 30], workers=2) for at in range(0, len(texts), 30)]
    )
    assert [answer for batch in batches for answer in batch] == alone
    pool, limit = predictor._pool, workers if workers > 1 else 2  # a batch may ask for more
    assert pool._limit == limit
    assert len({id(pool.borrow()) for _ in range(limit)}) == pool._made == limit


def test_a_run_and_a_saved_model(tiny_run: Path, tmp_path: Path) -> None:
    from textapp.artifact import open_artifact
    from textapp.catalog import load_config
    from textapp.recipes.splits import load_splits

    run, recipe = open_artifact(tiny_run), recipe_of("classification")
    records = load_splits(recipe, load_config(tiny_run / "config.yaml"), Path()).validation
    task = task_from_manifest(run.manifest, load_tokenizers(tiny_run))
    options = ExportOptions("saved_model")
    bundle = export_run(run, task, recipe.objective(), options, records, tmp_path / "bundle")
    for path in (tiny_run, bundle):
        predictor = textapp.load(path, trusted=path is bundle)
        texts = [f"{text} {number}" for number in range(16) for text in REVIEWS]
        alone = [predictor(text) for text in texts]
        assert together([partial(predictor, text) for text in texts]) == alone


@pytest.fixture(scope="module", params=["translation", "generation"])
def written(request: pytest.FixtureRequest, tiny_writer_bundle: Callable[[str, str], Path]) -> tuple[Path, list[str]]:
    """A bundle that generates text, and what to ask it."""
    if request.param == "translation":
        texts = [record["source"] for record in make_pairs(24)]
    else:
        texts = [record["text"][:9] for record in make_documents(24)]
    return tiny_writer_bundle(request.param, "litert"), texts


@pytest.mark.parametrize("workers", [1, 3])
def test_texts_that_are_generated(written: tuple[Path, list[str]], workers: int) -> None:
    bundle, texts = written
    predictor = textapp.load(bundle, workers=workers)
    ways: list[dict[str, Any]] = [
        {}, {"beam_size": 3, "num_hypotheses": 2}, {"temperature": 1.0, "seed": 5}, {"repetition_penalty": 1.5}
    ]  # fmt: skip
    calls: list[Callable[[], Any]] = []
    for number, text in enumerate(texts):
        calls.append(partial(predictor, text, **ways[number % len(ways)]))
        calls.append(partial(lambda asked: "".join(predictor.stream(asked)), text))
        calls.append(partial(predictor.batch, texts[number : number + 4]))
    alone = [call() for call in calls]
    for _ in range(3):
        assert together(calls) == alone


def test_streams_that_alternate_in_one_thread_wait_for_nobody(written: tuple[Path, list[str]]) -> None:
    bundle, texts = written
    predictor = textapp.load(bundle)
    streams = [predictor.stream(text) for text in texts[:3]]
    pieces: list[list[str]] = [[], [], []]
    for _ in range(40):
        for stream, own in zip(streams, pieces, strict=True):
            own.append(next(stream, ""))
            assert predictor(texts[4]).input == texts[4]
    assert ["".join(own) for own in pieces] == [predictor(text).output for text in texts[:3]]


class Counting:
    """A runner that knows how many threads are inside it and its clones."""

    max_batch = 1
    inside = most = clones = 0
    lock = threading.Lock()

    def clone(self) -> Counting:
        Counting.clones += 1
        return Counting()

    def work(self) -> None:
        with self.lock:
            Counting.inside += 1
            Counting.most = max(Counting.most, Counting.inside)
        threading.Event().wait(0.005)
        with self.lock:
            Counting.inside -= 1


def test_a_pool_lends_as_many_as_it_may_and_makes_them_on_demand() -> None:
    pool = RunnerPool(Counting(), 3)
    pool.give_back(pool.borrow())
    assert Counting.clones == 0

    def call() -> None:
        runner = pool.borrow()
        runner.work()
        pool.give_back(runner)

    together([call] * 40)
    assert (Counting.most, Counting.clones) == (3, 2)


def test_no_more_forms_are_kept_if_another_thread_asks_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def __init__(self, vocabulary: object, form: Form, frame: object) -> None:
            self.form = form
            if form.text == "a":
                other = threading.Thread(target=forms.grammar, args=(Form("regex", "b"), str))
                other.start()
                other.join()

        def fresh(self) -> Slow:
            return self

    monkeypatch.setattr(answer_forms, "Grammar", Slow)
    monkeypatch.setattr(answer_forms, "_KEPT", 1)
    forms = answer_forms.Forms(SimpleNamespace(one_line=False))  # type: ignore[arg-type]
    forms._vocabulary = SimpleNamespace(blank_first=[])  # type: ignore[misc, assignment]
    assert forms.grammar(Form("regex", "a"), str).form.text == "a"  # type: ignore[attr-defined]
    assert [form.text for form, _ in forms._grammars] == ["a"]


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, "2"])
def test_workers_are_counted_from_one(tiny_bundle: Path, workers: object) -> None:
    with pytest.raises(UsageError, match=f"workers: found {workers!r}, expected a whole number from 1"):
        textapp.load(tiny_bundle, workers=workers)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"workers: found {workers!r}, expected a whole number from 1"):
        textapp.load(tiny_bundle).batch(["good"], workers=workers)  # type: ignore[arg-type]
