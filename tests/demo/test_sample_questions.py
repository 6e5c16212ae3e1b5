from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise

import pytest

from textapp.demo import command
from textapp.demo.samples import DOCUMENTS, make_documents, make_questions, write_samples
from textapp.demo.samples.definitions import ASKED, THEMES
from textapp.demo.samples.questions import CHINESE, ENGLISH, HELD_OUT

HAN = re.compile("[\u4e00-\u9fff]")


def paragraphs(split: dict) -> list[dict]:
    (article,) = split["data"]
    return article["paragraphs"]


@pytest.fixture(scope="module")
def splits():
    return make_questions()


def test_sizes_languages_and_ids(splits) -> None:
    for split, texts in zip(splits, (740, 80), strict=True):
        found = paragraphs(split)
        assert len(found) == texts and sum(bool(HAN.search(each["context"])) for each in found) == texts / 2
        ids = [question["id"] for each in found for question in each["qas"]]
        assert len(set(ids)) == len(ids) == 3 * texts


def test_answers_stand_at_their_places(splits) -> None:
    unanswered = total = 0
    for split in splits:
        for each in paragraphs(split):
            for question in each["qas"]:
                total += 1
                unanswered += question["is_impossible"]
                assert question["is_impossible"] == (not question["answers"])
                for answer in question["answers"]:
                    start, text = answer["answer_start"], answer["text"]
                    assert text and each["context"][start : start + len(text)] == text
    assert 0.1 < unanswered / total < 0.2


def test_a_question_is_about_one_statement(splits) -> None:
    """Of `什么是X？` the answer is what the only sentence about X says; a text without X has no answer."""
    for each in paragraphs(splits[0]):
        for question in each["qas"]:
            asked = re.fullmatch(r"什么是(\w+)？|What is (?!meant by)(.+)\?", question["question"])
            if asked:
                thing = asked[1] or asked[2]
                defined = re.findall(
                    rf"(?i)(?:^|[。.] ?|By definition, ){thing}(?:是|就是|指的是| is )", each["context"]
                )
                assert len(defined) == len(question["answers"]), (question, each["context"])


def test_what_is_asked_stands_in_the_documents_alone(splits) -> None:
    for split in splits:
        text = json.dumps(split, ensure_ascii=False).lower()
        assert "人工智能" not in text and "artificial" not in text
        for part in (*ASKED[1::2], *command.QUESTION_ANSWERING.texts):
            assert part.lower() not in text
    documents = make_documents()
    assert len(documents) == 2 * len(THEMES)
    for thing, definition, line in ((*ASKED[:2], "{}是{}。"), (*ASKED[2:], "{} is {}.")):
        defined = line.format(thing[0].upper() + thing[1:], definition)
        assert [name for name, text in documents.items() if thing in text.lower()] == [
            f"technology.{'zh' if HAN.search(thing) else 'en'}.txt"
        ]
        assert sum(text.splitlines().count(defined) for text in documents.values()) == 1


def test_things_and_people_of_test_are_not_in_train(splits) -> None:
    train, test = (" ".join(each["context"] for each in paragraphs(split)).lower() for split in splits)
    concepts = [concept for theme in THEMES.values() for concept in theme]
    held_out = [concept for index, concept in enumerate(concepts) if index % HELD_OUT == 0]
    assert len(held_out) >= 15
    for concept in held_out:
        for definition in concept[1::2]:
            assert definition.lower() not in train
    assert sum(concept.chinese_definition in test for concept in held_out) > len(held_out) // 2
    for frames in (CHINESE, ENGLISH):
        for name in frames.words["person"][::HELD_OUT]:
            assert not re.search(rf"{name.lower()}(于|是|每|\b)", train), name


def test_no_thing_is_defined_twice() -> None:
    concepts = [ASKED, *(concept for theme in THEMES.values() for concept in theme)]
    for part in zip(*concepts, strict=True):
        assert [word for word, count in Counter(part).items() if count > 1] == []
    assert all(HAN.search(concept.chinese) and not HAN.search(concept.english) for concept in concepts)


def test_the_same_on_every_call_and_as_files(splits, tmp_path) -> None:
    assert make_questions() == splits
    write_samples(tmp_path)
    for name, split in zip(("train", "test"), splits, strict=True):
        assert json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) == split
    files = sorted((tmp_path / DOCUMENTS).iterdir())
    assert {file.name: file.read_text(encoding="utf-8") for file in files} == make_documents()
    assert all(one != other for one, other in pairwise(file.read_bytes() for file in files))
