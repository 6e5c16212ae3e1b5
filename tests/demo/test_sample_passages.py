from __future__ import annotations

import json
import re
from itertools import combinations

import pytest

from textapp.demo.samples import make_passages, passages, write_samples
from textapp.demo.samples.frames import GAP
from textapp.demo.samples.passages import LANGUAGES

DEMO = ("今天天气很好", "春天的景色", "你好，我是人工智能助手", "什么是人工智能")
SENTENCE_TEMPLATES = (r"^[春夏秋冬]天的\w+$", r"^\w{1,4}的\w{1,4}$", r"天天气很", r"你好，我是", r"什么是", r"人工智能")


@pytest.fixture(scope="module")
def splits():
    return make_passages()


def test_sizes_languages_and_no_passage_twice(splits) -> None:
    train, test = splits
    assert (len(train), len(test)) == (3000, 200)
    assert len(set(train + test)) == 3200
    for split in splits:
        assert sum(bool(re.search("[\u4e00-\u9fff]", passage)) for passage in split) * 2 == len(split)


def test_the_same_on_every_call(splits, tmp_path) -> None:
    assert make_passages() == splits
    write_samples(tmp_path)
    lines = (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"text": passage} for passage in splits[0]]


def test_no_demo_sentence_nor_its_template(splits) -> None:
    for passage in splits[0] + splits[1]:
        assert not any(sentence in passage for sentence in DEMO), passage
        for sentence in re.split("[。！？]", passage):
            assert not any(re.search(template, sentence) for template in SENTENCE_TEMPLATES), sentence


def test_what_the_demo_continues_is_known(splits) -> None:
    train = "".join(splits[0])
    assert train.count("春天") > 100 and train.count("景色") > 50


def test_combinations_of_the_test_split_never_stand_in_train(monkeypatch) -> None:
    met: list[set[frozenset[str]]] = []
    kept_apart = passages.kept_apart

    def recorded(words, share):
        met.append({frozenset(both) for both in combinations(dict.fromkeys(words), 2)})
        return kept_apart(words, share)

    monkeypatch.setattr(passages, "kept_apart", recorded)
    make_passages()
    kept = [one for one in met if any(kept_apart(both, passages.KEPT_FOR_TEST) for both in one)]
    in_train = set().union(*(one for one in met if one not in kept))
    assert len(kept) > 200 and all(one - in_train for one in kept)


def test_every_gap_has_its_list() -> None:
    for themes, lists, _ in LANGUAGES:
        gaps = {
            gap for theme in themes.values() for part in theme for sentence in part for gap in GAP.findall(sentence)
        }
        assert {gap.rstrip("2") for gap in gaps} == set(lists)
