"""A preset tuned on conversations: what it learns, its figures, its export, and a chat with it."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras_hub")
pytest.importorskip("jinja2")
from talks import CHATML, talk, write_lines, write_words  # noqa: E402

import textapp  # noqa: E402
from textapp.arrays import IGNORED  # noqa: E402
from textapp.catalog import parse_config, recipe_of  # noqa: E402
from textapp.commands.check import data_profile  # noqa: E402
from textapp.commands.export import export  # noqa: E402
from textapp.commands.train import train_config  # noqa: E402
from textapp.errors import ConfigError, DataError  # noqa: E402
from textapp.export.options import ExportOptions  # noqa: E402
from textapp.prepared import Prepared  # noqa: E402
from textapp.recipes.resolving import locate  # noqa: E402
from textapp.recipes.splits import load_splits  # noqa: E402
from textapp.text.preset import preset_tokenizer  # noqa: E402
from textapp.text.tokenizer import load_tokenizer  # noqa: E402

START, END = 58, 59
# What is asked is answered with the two words behind it.
TALKS = [
    talk(f"w{one}", f"w{one + 1} w{one + 2}", f"w{two}", f"w{two + 1} w{two + 2}", system=f"w{50 + one % 2}")
    for one in range(3, 13)
    for two in range(3, 13)
]


def config(folder: Path, preset: Path | None = None, **changes: Any) -> Any:
    """The config of a tiny preset and the conversations of a folder."""
    raw: dict[str, Any] = {
        "task": "generation", "run": str(folder / "run"), "lengths": [32], "generate_lengths": [[24, 8]],
        "model": {"architecture": "preset", "path": str(preset or folder / "preset"), "dropout": 0.0},
        "data": {"train": "talks.jsonl", "validation": 0.1, "columns": {"messages": "messages"}},
        "training": {"epochs": 8, "learning_rate": 0.01, "batch_tokens": 256, "device": "cpu"},
    }  # fmt: skip
    return parse_config({**raw, **changes})


def prepared(folder: Path, messages: list[Any], **changes: Any) -> Prepared:
    """What a training on conversations begins with; `changes` are keys of the config."""
    folder.mkdir(exist_ok=True)
    write_lines(folder / "talks.jsonl", [{"messages": each} for each in messages])
    data = {"train": "talks.jsonl", "validation": "talks.jsonl", "columns": {"messages": "messages"}}
    found, recipe = config(folder, data=data, **changes), recipe_of("generation")
    return recipe.prepare(locate(found, folder), load_splits(recipe, found, folder), folder / "work")


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose own files do not say that `<|im_end|>` ends a text, as those of a base model."""
    return write_words(tmp_path_factory.mktemp("words") / "preset", end="w54")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, preset: Path) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    write_lines(folder / "talks.jsonl", [{"messages": messages} for messages in TALKS])
    return train_config(config(folder, preset), folder)


def test_only_answers_and_their_ends_are_targets(tmp_path: Path, preset: Path) -> None:
    found = prepared(tmp_path, [talk("w3", "w4 w5", "w6", "w7", system="w50"), talk("w9", "w8")], preset=preset)
    document = found.data["train"][0]
    # words are their number and 3, and 0 to 2 are system, user and assistant
    ids = [START, 0, 53, END, START, 1, 6, END, START, 2, 7, 8, END, START, 1, 9, END, START, 2, 10, END]
    assert document.inputs.tolist() == ids[:-1]
    learnt = {10: 7, 11: 8, 12: END, 19: 10, 20: END}
    assert document.targets.tolist() == [learnt.get(place, IGNORED) for place in range(1, len(ids))]


def test_what_ends_an_answer_ends_a_text(run: Path, preset: Path) -> None:
    ends = {load_tokenizer(run / "tokenizer").end_id: load_tokenizer(run / "tokenizer").other_end_ids}
    assert preset_tokenizer(preset).other_end_ids == [2] and ends == {57: [2, END]}  # 2: of its config.json
    assert (run / "tokenizer" / "chat_template.jinja").read_text(encoding="utf-8") == CHATML


def test_tuning_lowers_the_loss_of_the_answers(run: Path, preset: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    losses = [epoch["validation_loss"] for epoch in metrics["training"]["history"]]
    assert losses[0] > 1.0 and min(losses) < 0.4  # nats a token; 60 tokens are in the vocabulary
    assert math.isclose(metrics["validation"]["loss"], min(losses), abs_tol=0.05)
    assert metrics["validation"]["answers"]["rougeL"] > 60


def test_the_loss_of_a_given_conversation_is_that_of_its_answers(run: Path) -> None:
    """Keras by hand: each answer's tokens, and its end, after all tokens before them."""
    predictor = textapp.load(run)
    record = {"prompt": "w8", "text": "w9 w10", "messages": TALKS[5]}
    total, count, characters = predictor.score_texts([record])[0]
    turns = predictor.task.conversations.turns(TALKS[5])
    ids = np.array(turns.ids, np.int32)
    outputs = predictor.runner.run("score", {"token_ids": ids[None, :-1], "targets": ids[None, 1:]})
    values = outputs["log_probability"][0]
    expected = sum(float(values[start - 1 : end - 1].sum()) for start, end in turns.answers)
    assert count == sum(end - start for start, end in turns.answers) == 6
    assert math.isclose(total, expected, abs_tol=1e-4)
    assert characters == sum(len(message["content"]) for message in TALKS[5] if message["role"] == "assistant")


def conversation(run: Path) -> list[dict[str, str]]:
    """Two turns, with the answers of a run."""
    tuned = textapp.load(run)
    messages: list[dict[str, str]] = [{"role": "system", "content": "w51"}]
    for word in (12, 6):
        messages.append({"role": "user", "content": f"w{word}"})
        answer = tuned.chat(messages)
        assert answer.output == f"w{word + 1} w{word + 2}"
        messages.append(answer.message)
    return messages


def test_a_chat(run: Path) -> None:
    assert len(conversation(run)) == 5


@pytest.mark.slow
def test_a_bundle_chats_and_scores_as_its_run(run: Path) -> None:
    bundle = export(run, ExportOptions("litert", "none"))
    tuned, shipped, messages = textapp.load(run), textapp.load(bundle), conversation(run)
    assert shipped.chat(messages[:-1]).output == messages[-1]["content"]
    record = {"prompt": "w8", "text": "w9 w10", "messages": TALKS[5]}
    (one, *counts), (other, *others) = (each.score_texts([record])[0] for each in (tuned, shipped))
    assert counts == others == [6, 11] and math.isclose(one, other, abs_tol=1e-3)  # the bundle scores step by step
    assert shipped(record).output == tuned.chat(TALKS[5][:-1]).output


def test_check(tmp_path: Path, preset: Path) -> None:
    write_lines(tmp_path / "talks.jsonl", [{"messages": messages} for messages in [*TALKS[:20], TALKS[0]]])
    profile = data_profile(config(tmp_path, preset), tmp_path)
    rows = profile["rows"]["train"]
    assert profile["conversations"] == {"answers": 2 * rows, "answer_tokens": 6 * rows}
    assert profile["tokens"] == 22 * rows and profile["duplicates"]["rows"] + profile["rows"]["validation"] > 2
    assert profile["first_rows"]["train"][0]["messages"].startswith('[{"role": "system", "content": "w51"}, {"role"')
    shown = recipe_of("generation").sections(profile)[0].values
    assert shown["train"] == f"{rows} conversations (talks.jsonl)" and shown["tokens in answers"] == 6 * rows


# --- what is too long, and what is refused ---------------------------------------------------------------------------


def test_conversations_longer_than_the_context_are_divided(
    tmp_path: Path, preset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = talk("w3", "w4", "w5", "w6", system="w50")  # 4 tokens of the system message, 8 of each turn
    with caplog.at_level(logging.WARNING, logger="textapp"):
        found = prepared(
            tmp_path,
            [long, talk("w9", "w8 " * 20), talk("w9", "w8"), talk("w7", "w6")],
            preset=preset,
            lengths=[12],
            generate_lengths=[[6, 6]],
        )
    rows = [document.inputs.tolist() for document in found.data["train"]]
    system = [START, 0, 53, END]
    assert rows[0] == [*system, START, 1, 6, END, START, 2, 7] and rows[1] == [*system, START, 1, 8, END, START, 2, 9]
    assert len(rows) == 5 and rows[2] == [START, 1, 12, END, START, 2, *[11] * 6]
    assert "2 of 4 conversations of train are longer than the context of 12 tokens" in caplog.text
    assert "1 have a turn that alone is longer" in caplog.text


def test_a_context_without_any_answer(tmp_path: Path, preset: Path) -> None:
    with pytest.raises(DataError, match="data.train: no conversation has an answer in its first 4 tokens, the context"):
        prepared(tmp_path, [talk("w9", "w8"), talk("w3", "w4")], preset=preset, lengths=[4], generate_lengths=[[2, 2]])


def test_short_talks_leave_room_for_those_of_people(tmp_path: Path, preset: Path) -> None:
    open_lengths = config(tmp_path, preset, lengths=None, generate_lengths=None)
    for most, pairs in ((1024, [(32, 128), (128, 128), (256, 256)]), (64, [(8, 56)])):  # tokens that a model has
        found = recipe_of("generation").resolve(open_lengths, 2, "en", [12, 10], [8, 6], most)
        assert found.lengths == [min(most, 512)] and list(found.generate_lengths) == pairs


def test_models_without_a_template_are_refused(tmp_path: Path) -> None:
    write_words(tmp_path / "preset", template=None)
    with pytest.raises(ConfigError, match=r"model.path: .*preset: found a preset without a chat template, .*jinja"):
        prepared(tmp_path, TALKS[:4])
    with pytest.raises(ConfigError, match="data.columns.messages: found conversations for a model from random weights"):
        prepared(tmp_path, TALKS[:4], model={"architecture": "lstm"})


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for %}", "model.path: .*preset: the model's chat template cannot be rendered"),
        ("{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}", "does it loop for ever"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "writes no special token behind an answer"),
    ],
)
def test_templates_that_are_refused(tmp_path: Path, template: str, message: str) -> None:
    write_words(tmp_path / "preset", template)
    with pytest.raises(ConfigError, match=message) as caught:
        prepared(tmp_path, TALKS[:4])
    assert "\n" not in str(caught.value)


def test_a_conversation_that_the_template_refuses_is_named_by_its_line(tmp_path: Path) -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('No system.') }}{% endif %}" + CHATML
    write_words(tmp_path / "preset", refuses)
    with pytest.raises(DataError, match=r"talks.jsonl:2: .* refuses this conversation: No system"):
        prepared(tmp_path, [talk("w9", "w8"), TALKS[0]])
