"""Conversations in files: the forms that are read, and what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from talks import talk, write_lines

from textapp.catalog import parse_config, recipe_of
from textapp.errors import DataError
from textapp.recipes.splits import load_splits
from textapp.records.documents import load_conversations, load_documents, scan_prompts
from textapp.records.layout import Layout
from textapp.records.messages import conversation
from textapp.records.rows import RowError

LAYOUT = Layout({"text": ["text", "content"], "messages": ["messages"]}, usual={"text": ("text", "content")})
TALK = talk("Hi", "Hello.", "Who?", "I.", system="Be.")


def raw(**data: Any) -> dict[str, Any]:
    model = {"architecture": "preset", "path": "p"}
    return {"task": "generation", "run": "r", "model": model, "data": {"train": "talks.jsonl", **data}}


def load(folder: Path, name: str = "talks.jsonl", layout: Layout = LAYOUT) -> list[dict[str, Any]]:
    return load_conversations(name, layout, folder)


def test_a_line_is_a_conversation_up_to_its_last_answer(tmp_path: Path) -> None:
    write_lines(tmp_path / "talks.jsonl", [{"messages": TALK, "content": "x"}, {"messages": TALK[:4]}])
    where = str(tmp_path / "talks.jsonl")
    assert load(tmp_path) == [
        {"prompt": "Who?", "text": "I.", "messages": TALK, "where": f"{where}:1"},
        {"prompt": "Hi", "text": "Hello.", "messages": TALK[:3], "where": f"{where}:2"},
    ]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([{"messages": TALK}]),
        json.dumps({"messages": TALK}, indent=1),
        json.dumps({"data": [{"messages": TALK}]}),
    ],
)
def test_other_files_of_json(tmp_path: Path, content: str) -> None:
    (tmp_path / "talks.json").write_text(content, encoding="utf-8")
    assert [record["messages"] for record in load(tmp_path, "talks.json")] == [TALK]


def test_a_cell_of_a_table(tmp_path: Path) -> None:
    cell = json.dumps(TALK).replace('"', '""')
    (tmp_path / "talks.csv").write_text(f'id,messages\n1,"{cell}"\n', encoding="utf-8")
    assert load(tmp_path, "talks.csv")[0]["messages"] == TALK


def test_the_form_of_sharegpt_and_another_column(tmp_path: Path) -> None:
    says = [("system", "Be."), ("human", "Hi"), ("gpt", "Hello."), ("human", "Who?"), ("gpt", "I.")]
    write_lines(tmp_path / "talks.jsonl", [{"conversations": [{"from": name, "value": text} for name, text in says]}])
    layout = Layout({"messages": ["conversations"]})
    assert load(tmp_path, layout=layout)[0]["messages"] == TALK
    write_lines(tmp_path / "talks.jsonl", [{"content": TALK}])
    config = parse_config(raw(columns={"messages": "content"}))  # which is else a name of the text
    layout = Layout.of_config(config, recipe_of("generation").keys)
    assert load(tmp_path, layout=layout)[0]["messages"] == TALK


def test_parts_of_text_are_joined_and_other_keys_are_not_read() -> None:
    parts = [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]
    found = conversation([{"role": "user", "content": parts, "id": 7, "tool_calls": None, "weight": 1}])
    assert found == talk("Hi")


def test_a_system_message_without_text_is_left_out() -> None:
    assert conversation([{"role": "system", "content": " "}, *talk("Hi")]) == talk("Hi")


def changed(place: int, **values: Any) -> list[dict[str, Any]]:
    return [{**message, **values} if at == place else message for at, message in enumerate(TALK)]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "messages: found no message, expected some"),
        ("Hi", "messages: found 'Hi', expected a list such as"),
        (None, "messages: found None, expected a list"),
        ({"role": "user"}, "messages: found {'role': 'user'}, expected a list"),
        (["Hi"], r"messages\[0\]: found 'Hi', expected a message of a list such as"),
        ([{"role": "user", "text": "Hi"}], r"messages\[0\]: found {.*}, expected a message"),
        (TALK[2:], r"messages\[0\].role: found 'assistant' at the beginning, expected 'system' or 'user'"),
        ([*TALK[:2], *TALK[1:]], r"messages\[2\].role: found 'user' after 'user', expected 'assistant'"),
        ([*TALK[1:], TALK[0]], r"messages\[4\].role: found 'system' after 'assistant', expected 'user'"),
        (TALK[:2], "messages: found no message of the assistant, expected one or more"),
        (changed(3, role="human"), r"messages\[3\].role: found 'human', expected one of system, user, assistant"),
        (changed(3, role="usr"), r"messages\[3\].role: found 'usr', .*; did you mean 'user'"),
        ([{"from": "tool", "value": "x"}], r"messages\[0\].from: found 'tool', expected one of system, human, user"),
        (changed(2, content=" \n"), r"messages\[2\]: found a message without text, expected some"),
        (changed(2, content=None), r"messages\[2\].content: found None, expected a text"),
        (changed(1, content=[{"type": "image_url"}]), r"messages\[1\].content\[0\]: found a part of the type 'image_u"),
        (changed(1, content=["Hi"]), r"messages\[1\].content\[0\]: found 'Hi', expected {\"type\": \"text\""),
        (changed(1, content=[{"type": "text"}]), r"messages\[1\].content\[0\].text: found None, expected a text"),
        (changed(1, content="a\0"), r"messages\[1\].content: found \\u0000, which no text has"),
        (changed(1, content="x" * 1048577), r"messages\[1\].content: found 1,048,577 characters"),
        (changed(4, tool_calls=[{"id": 1}]), r"messages\[4\]: found the key 'tool_calls', which is not supported"),
        (changed(4, weight=0), r"messages\[4\]: found the key 'weight', which is not supported"),
    ],
)
def test_what_is_refused_with_its_line(tmp_path: Path, messages: Any, message: str) -> None:
    write_lines(tmp_path / "talks.jsonl", [{"messages": TALK}, {"messages": messages}])
    with pytest.raises(RowError, match=rf"talks.jsonl:2: {message}") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["talks.jsonl", "talks.csv"])
def test_neither_of_two_equal_keys_of_a_message_wins(tmp_path: Path, name: str) -> None:
    talk = json.dumps(TALK).replace('"content": ', '"content": "other", "content": ', 1)
    cell = '"' + talk.replace('"', '""') + '"'
    lines = f'{{"messages": {talk}}}\n' if name == "talks.jsonl" else f"messages,id\n{cell},1\n"
    (tmp_path / name).write_text(lines, encoding="utf-8")
    with pytest.raises(RowError, match=rf"{name}:\d: messages\[0\]: the key 'content' occurs twice"):
        load(tmp_path, name)


def test_neither_of_two_equal_keys_of_a_part_wins(tmp_path: Path) -> None:
    line = '{"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "text": "b"}]}]}\n'
    (tmp_path / "talks.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(RowError, match=r"messages\[0\].content\[0\]: the key 'text' occurs twice"):
        load(tmp_path)


def test_a_conversation_is_not_read_as_documents(tmp_path: Path) -> None:
    layout = Layout({"text": ["text", "content"], "prompt": ["prompt"]}, optional=frozenset({"prompt"}))
    shared = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    for key, messages in (("messages", TALK), ("conversations", shared)):
        for name, count in (("talks.json", 1), ("talks.jsonl", 2)):
            write_lines(tmp_path / name, [{"id": 1, key: messages}] * count)
            with pytest.raises(DataError, match=rf"no column for text: .*set columns: {{messages: {key}}}"):
                load_documents(name, layout, tmp_path)


def test_files_without_conversations(tmp_path: Path) -> None:
    write_lines(tmp_path / "talks.jsonl", [{"text": "Hi", "talk": TALK}] * 2)
    with pytest.raises(DataError, match=r"talks.jsonl: no column for messages: found 'text', 'talk'; expected 'messa"):
        load(tmp_path)
    (tmp_path / "talks.txt").write_text("Hi\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"talks.txt: found lines of text, expected conversations in a .jsonl"):
        load(tmp_path, "talks.txt")
    both = Layout({"text": ["story"], "messages": ["messages"]}, usual={"text": ("text",)})
    with pytest.raises(DataError, match="data.columns: found messages and text, expected one of them: leave text out"):
        load(tmp_path, layout=both)


def test_conversations_that_wait_for_an_answer(tmp_path: Path) -> None:
    write_lines(tmp_path / "talks.jsonl", [{"messages": TALK[:4]}, {"messages": TALK}, {"messages": []}, {"text": "a"}])
    found = [record for _, record in scan_prompts("talks.jsonl", LAYOUT, tmp_path)]
    where = str(tmp_path / "talks.jsonl")
    assert found[0] == {"prompt": "Who?", "messages": TALK[:4], "where": f"{where}:1"}
    assert found[1] == {"prompt": "Who?", "text": "I.", "messages": TALK, "where": f"{where}:2"}
    assert isinstance(found[2], RowError) and "talks.jsonl:3: messages: found no message" in str(found[2])
    assert found[3] == {"prompt": "a"}


def test_equal_conversations_stay_in_one_split(tmp_path: Path) -> None:
    rows = [{"messages": talk(f"Say {number % 10}", "It is done.")} for number in range(20)]
    write_lines(tmp_path / "talks.jsonl", rows)
    config = parse_config(raw(validation=0.2, columns={"messages": "messages"}))
    splits = load_splits(recipe_of("generation"), config, tmp_path)
    train, validation = ({record["prompt"] for record in part} for part in (splits.train, splits.validation))
    assert len(splits.validation) == 4 and len(validation) == 2 and not train & validation
