"""Question answering from questions to windows with their targets."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from toys import Letters

from textapp.catalog import parse_config, recipe_of
from textapp.config import Corpus
from textapp.errors import ConfigError, DataError
from textapp.recipes.question_answering import Encoded, answer_span, training_windows
from textapp.recipes.splits import load_splits
from textapp.records.splits import Splits
from textapp.tasks.question_answering import QuestionAnsweringTask
from textapp.text.template import Template
from textapp.text.training import train_tokenizer


class Reader(Letters):
    template = Template(middle=(3,))


class WithStart(Letters):
    template = Template((2,), (3,), (3,))


def task_of(tokenizer=None) -> QuestionAnsweringTask:
    return QuestionAnsweringTask(tokenizer or Reader(), [14], 4, 5, 64, "en")


def record(context: str, *answers: tuple[str, int | None], question: str = "who") -> dict:
    listed = [{"text": text, "start": start} for text, start in answers]
    return {"question": question, "context": context, "answers": listed, "where": "a.json: question 1"}


def test_targets_of_windows() -> None:
    tokenizer = Reader()
    found = training_windows(task_of(tokenizer), [record("abcdefghijklmno", ("gh", 6))], Encoded(tokenizer))
    # Windows 0-10, 4-14, 8-15 behind four tokens; `gh` are the tokens 6 and 7: not in the last window.
    assert found.targets.tolist() == [[10, 11, 4, 14], [6, 7, 4, 14], [3, 3, 4, 11]]
    assert found.targets.dtype == np.int32
    ids = [part.tolist() for part in found.features["token_ids"]]
    assert ids[1] == [*tokenizer.ids("who"), 3, *tokenizer.ids("efghijklmn")]
    assert ids[0][10:12] == ids[1][6:8] == tokenizer.ids("gh")
    assert found.features["segment_ids"][2].tolist() == [0] * 4 + [1] * 7


def test_an_answer_partly_in_a_window_is_not_its_answer() -> None:
    tokenizer = Reader()
    found = training_windows(task_of(tokenizer), [record("abcdefghijklmno", ("jk", 9))], Encoded(tokenizer))
    assert found.targets[:, :2].tolist() == [[3, 3], [9, 10], [5, 6]]


def test_no_answer_is_the_start_token_of_a_preset() -> None:
    tokenizer = WithStart()
    found = training_windows(task_of(tokenizer), [record("abc"), record("abc", ("c", 2))], Encoded(tokenizer))
    assert found.targets.tolist() == [[0, 0, 5, 8], [7, 7, 5, 8]]


def test_the_span_is_of_the_first_answer_that_stands_in_the_context() -> None:
    context = Letters().encode("abcdef")
    assert answer_span(record("abcdef", ("zz", None), ("cd", 2), ("ef", 4)), context) == (2, 3)
    assert answer_span(record("abcdef"), context) is None
    assert answer_span(record("abcdef", ("zz", None)), context) is None


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ("<b>the cat</b> &amp; the dog sat", "cat</b> &amp; the dog"),
        ("the cat https://example.org/a sat down", "cat https://example.org/a sat"),  # a piece in the middle is gone
        ("the cat 👩‍👩‍👧 sat on the ｍａｔ", "ｍａｔ"),
        ("el cafe\u0301 está aquí", "cafe\u0301"),
        ("人工智能是什么", "智能"),
    ],
)
def test_spans_of_cleaned_text_lead_back_to_the_answer(context: str, text: str) -> None:
    tokenizer = train_tokenizer("characters", 300, [context] * 20, ("html", "urls", "nfkc", "lowercase"))
    encoded = tokenizer.encode(context)
    first, last = answer_span(record(context, (text, context.index(text))), encoded)
    assert context[encoded.offsets[first][0] : encoded.offsets[last][1]].strip() == text


def test_an_answer_that_cleaning_removed_is_not_taken_for_no_answer(caplog) -> None:
    tokenizer = train_tokenizer("characters", 300, ["see the cat"] * 20, ("html",))
    task, encoded = QuestionAnsweringTask(tokenizer, [64], 16, 8, 4, "en"), Encoded(tokenizer)
    kept = record("a<b>cat</b>", ("cat", 4))
    removed = {**record("a<b>cat</b>", ("<b>", 1)), "where": "a.json: question 2"}
    with caplog.at_level(logging.WARNING, logger="textapp"):
        found = training_windows(task, [kept, removed, record("a<b>cat</b>")], encoded)
    null = task.null(found.targets[0, 2])
    assert [row[:2] == [null, null] for row in found.targets.tolist()] == [False, True]
    assert caplog.messages == [
        "dropped 1 training questions, such as a.json: question 2: cleaning leaves no token of the answer '<b>'"
    ]
    with pytest.raises(DataError, match="a.json: question 2: .*leave a step out of cleaning, or delete the question"):
        training_windows(task, [kept, removed], encoded, strict=True)
    with pytest.raises(DataError, match="a.json: question 2"):
        training_windows(task, [removed], encoded)


def test_long_questions_are_cut_and_counted(caplog) -> None:
    tokenizer = Reader()
    long = record("abcdefghijklmno", ("ab", 0), question="whowhowho")
    with caplog.at_level(logging.WARNING, logger="textapp"):
        found = training_windows(task_of(tokenizer), [long, record("abc")], Encoded(tokenizer))
    assert caplog.messages == ["1 training questions are longer than the window and were cut: raise lengths"]
    assert found.features["token_ids"][0][:6].tolist() == [*tokenizer.ids("whowh"), 3]


# --- what a config leaves open ---------------------------------------------------------------------------------------


def config_of(**more):
    raw = {"task": "question_answering", "run": "r", "data": {"train": "t"}, "model": {"architecture": "lstm"}}
    return parse_config({**raw, **more})


def test_defaults() -> None:
    recipe = recipe_of("question_answering")
    counts = [100] * 90 + [200] * 9 + [2000]
    config = recipe.resolve(config_of(), 10_000, "en", counts, [2] * 95 + [9] * 5)
    assert config.lengths[-1] == 384 and config.lengths == sorted(config.lengths)
    assert (config.stride, config.max_windows) == (128, 64)
    assert 9 <= config.max_answer_tokens <= 16
    assert (config.tokenizer.kind, config.tokenizer.vocabulary_size) == ("bpe", 8000)
    assert config.cleaning == ("nfkc", "lowercase") or list(config.cleaning) == ["nfkc", "lowercase"]
    assert config.model.units == [128, 128] and config.training.monitor == "f1"
    assert recipe.resolve(config_of(), 100, "zh").tokenizer.kind == "characters"
    given = recipe.resolve(config_of(lengths=[64], stride=9, max_answer_tokens=3, max_windows=2), 10, "en", [50])
    assert (given.lengths, given.stride, given.max_answer_tokens, given.max_windows) == ([64], 9, 3, 2)
    assert recipe.resolve(config_of(lengths=[64]), 10, "en", [50]).stride == 21  # a third of a short window
    transformer = config_of(model={"architecture": "transformer"})
    assert transformer.model.defaults("reader", Corpus([9]))["positions"] == "rope"


def test_a_stride_lies_under_the_window() -> None:
    with pytest.raises(ConfigError, match="stride: found 64, expected less than the longest of lengths, 64"):
        config_of(lengths=[32, 64], stride=64)
    assert config_of(lengths=[32, 64], stride=63).stride == 63
    # Where the lengths are chosen by the data, whose texts may be short, it is lowered.
    config = recipe_of("question_answering").resolve(config_of(stride=500), 10, "en", [20])
    assert config.stride == config.lengths[-1] - 1


def test_lengths_without_room_for_a_question_are_refused(tmp_path: Path) -> None:
    given = record("ada wrote it", ("ada", 0))
    splits = Splits([given] * 8, [given], [given], {"train": "t", "validation": "v", "test": "x"})
    config = config_of(lengths=[4, 9], tokenizer={"kind": "characters", "vocabulary_size": 100})
    with pytest.raises(ConfigError, match="lengths: found 9 as the longest, expected at least 10, .*: raise the last"):
        recipe_of("question_answering").prepare(config, splits, tmp_path)
    with pytest.raises(ConfigError, match="lengths: found 9 as the longest"):
        recipe_of("question_answering").profile(config, splits)


@pytest.mark.parametrize(("handling", "kept"), [("skip", 1), ("error", None)])
def test_what_happens_to_a_misplaced_answer_is_set(tmp_path: Path, handling: str, kept: int | None) -> None:
    (tmp_path / "t.csv").write_text("question,context,answer\nWho?,Ada sang.,Ada\nWho?,Ben sang.,Cora\n", "utf-8")
    (tmp_path / "v.csv").write_text("question,context,answer\nWho?,Ben sang.,Cora\n", "utf-8")
    data = {"train": "t.csv", "validation": "v.csv", "misplaced_answers": handling}
    config, recipe = config_of(data=data), recipe_of("question_answering")
    if kept is None:
        with pytest.raises(DataError, match=r"t\.csv:3: the answer 'Cora' is not in the context: mend or delete it"):
            load_splits(recipe, config, tmp_path)
    else:
        splits = load_splits(recipe, config, tmp_path)
        assert len(splits.train) == kept and len(splits.validation) == 1  # still a reference there


def test_the_profile() -> None:
    recipe = recipe_of("question_answering")
    one = record("Ada wrote the first program in London.", ("Ada", 0), question="Who wrote it?")
    none = record("Ada wrote the first program in London.", question="Who sang?")
    lost = record("Ben sang.", ("Cora", None), question="Who sang?")
    splits = Splits([one, none] * 20, [lost], [one], {"train": "t", "validation": "v", "test": "x"})
    config = config_of(tokenizer={"kind": "characters", "vocabulary_size": 100})
    found = recipe.profile(config, splits)
    assert found["rows"] == {"train": 40, "validation": 1, "test": 1}
    assert (found["contexts"], found["unanswerable"], found["language"]) == (1, 20, "en")
    assert found["misplaced"]["validation"] == 1 and found["overlaps"]["test"] == 1
    assert any("1 question of validation has an answer that is not at its place" in line for line in found["warnings"])
    assert any("1 question of test is about a context that is also in train" in line for line in found["warnings"])
    assert recipe.sections(found)[0].values["without an answer"] == 20


def test_the_profile_counts_questions_that_are_cut() -> None:
    recipe = recipe_of("question_answering")
    short, long = (record("Ada sang in Rome.", ("Ada", 0), question=text) for text in ("Who?", "Who was it that sang?"))
    splits = Splits([short, short, long] * 10, [long], [], {"train": "t", "validation": "v"})
    config = config_of(lengths=[16], tokenizer={"kind": "characters", "vocabulary_size": 100})
    found = recipe.profile(config, splits)
    assert found["cut"] == 10
    assert "10 of 30 training questions are longer than the window and will be cut: raise lengths" in found["warnings"]


def test_the_profile_counts_answers_that_cleaning_removes() -> None:
    recipe = recipe_of("question_answering")
    kept, removed = record("See<b>Ada</b>", ("Ada", 6)), record("See<b>Ada</b>", ("<b>", 3))
    splits = Splits([kept, kept, removed] * 10, [kept], [kept], {"train": "t", "validation": "v", "test": "x"})
    config = config_of(cleaning=["html"], tokenizer={"kind": "characters", "vocabulary_size": 100})
    found = recipe.profile(config, splits)
    assert found["cleaned_away"] == 10
    assert any(
        "10 of 30 training questions have an answer of which cleaning leaves no token" in line
        for line in found["warnings"]
    )


def test_no_context_is_in_both_splits() -> None:
    recipe = recipe_of("question_answering")
    records = [record(f"context {number // 3}", question=f"q{number}") for number in range(90)]
    train, validation = recipe.set_aside(records, 0.2, config_of())[:2]
    contexts = [{each["context"] for each in part} for part in (train, validation)]
    assert validation and not contexts[0] & contexts[1]
