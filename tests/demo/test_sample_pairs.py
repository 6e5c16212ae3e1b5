from __future__ import annotations

import re
from itertools import combinations

import pytest

from textapp.demo.samples import make_pairs, pairs, write_samples
from textapp.demo.samples.frames import GAP, LISTS, TOPICS, Frame

DEMO = ("今天天气很好", "春天的景色", "你好，我是人工智能助手", "什么是人工智能")
TEMPLATES = (r"今天天气很", r"天天气很好", r"你好，我是", r"什么是", r"人工智能", r"[春夏秋冬]天的\w+。$", r"景色")


@pytest.fixture(scope="module")
def splits():
    return make_pairs()


def test_sizes_and_no_sentence_twice(splits) -> None:
    train, test = splits
    assert (len(train), len(test)) == (8000, 300)
    assert len({pair.source for pair in train + test}) == 8300


def test_the_same_on_every_call(splits, tmp_path) -> None:
    assert make_pairs() == splits
    write_samples(tmp_path)
    for column, suffix in enumerate(("zh", "en")):
        lines = (tmp_path / f"test.{suffix}").read_text(encoding="utf-8").splitlines()
        assert lines == [pair[column] for pair in splits[1]]


def test_no_demo_sentence_nor_its_template(splits) -> None:
    for pair in splits[0] + splits[1]:
        assert not any(sentence in pair.source for sentence in DEMO), pair
        assert not any(re.search(template, pair.source) for template in TEMPLATES), pair


def test_all_that_the_demo_sentence_is_made_of_stands_in_train(splits) -> None:
    sources = [pair.source for pair in splits[0]]
    assert "今天天气不错。" in sources
    assert sum(source.startswith("昨天天气很") for source in sources) > 3
    assert sum(source.endswith("的天气很好。") for source in sources) > 3


def test_combinations_of_the_test_split_never_stand_in_train(monkeypatch) -> None:
    """Recorded where the gaps of a sentence are filled: which words met."""
    met: dict[bool, list[set[frozenset[str]]]] = {False: [], True: []}
    now = []
    split, fill = pairs._split, pairs.fill

    def of_a_split(choice, size, for_test, *rest):
        now[:] = [for_test]
        return split(choice, size, for_test, *rest)

    def recorded(frame, words):
        met[now[0]].append(
            {frozenset(both) for both in combinations([f"{word.chinese}" for word in words.values()], 2)}
        )
        return fill(frame, words)

    monkeypatch.setattr(pairs, "_split", of_a_split)
    monkeypatch.setattr(pairs, "fill", recorded)
    make_pairs()
    in_train = set().union(*met[False])
    assert len(met[True]) > 250 and all(sentence - in_train for sentence in met[True])


def test_every_word_of_the_test_split_stands_in_train(splits) -> None:
    train, test = ({word for pair in split for word in pair.target.lower().split()} for split in splits)
    assert test <= train
    train, test = (set("".join(pair.source for pair in split)) for split in splits)
    assert test <= train


@pytest.mark.parametrize(
    ("chinese", "words", "expected"),
    [
        ("请给{whom}{number}{food:measure}{food}。", "我 一 鸡蛋", ("请给我一个鸡蛋。", "Please give me an egg.")),
        (
            "请给{whom}{number}{food:measure}{food}。",
            "她 两 茶",
            ("请给她两杯茶。", "Please give her two cups of tea."),
        ),
        ("{who}{habit}都{activity}。", "他 每天 看书", ("他每天都看书。", "He reads a book every day.")),
        ("{who}{habit}都{activity}。", "我们 每天 看书", ("我们每天都看书。", "We read a book every day.")),
        ("{whose}{small}在哪儿？", "我的 裤子", ("我的裤子在哪儿？", "Where are my trousers?")),
        ("{past_day}天气{degree}{weather}。", "昨天 很 冷", ("昨天天气很冷。", "The weather was very cold yesterday.")),
        ("{worker}是{job}。", "他们 医生", ("他们是医生。", "They are doctors.")),
        ("{asked}为什么喜欢{city}？", "她 巴黎", ("她为什么喜欢巴黎？", "Why does she like Paris?")),
    ],
)
def test_agreement_and_measure_words(chinese: str, words: str, expected: tuple[str, str]) -> None:
    frame = next(frame for frames in TOPICS.values() for frame in frames if frame.chinese == chinese)
    gaps = list(dict.fromkeys(GAP.findall(chinese)))
    chosen = {
        gap: next(word for word in LISTS[gap] if f"{word.chinese}" == said)
        for gap, said in zip(gaps, words.split(), strict=True)
    }
    assert pairs.fill(frame, chosen) == expected


@pytest.mark.parametrize(
    "frame", [frame for frames in TOPICS.values() for frame in frames], ids=lambda frame: frame.chinese
)
def test_both_languages_of_a_frame_have_the_same_gaps(frame: Frame) -> None:
    assert set(GAP.findall(frame.chinese)) == set(frame.gaps)
    assert {gap.rstrip("2") for gap in frame.gaps} <= set(LISTS)
    assert set(frame.fits.split()) <= set(frame.gaps)


def test_words_go_together() -> None:
    fits = {"activity": "游泳", "venue": "在图书馆里"}
    frame = next(frame for frame in TOPICS["people"] if frame.fits == "activity venue")
    drawn = [words for number in range(300) if (words := pairs.draw(pairs.random.Random(number), frame)) is not None]
    chosen = [{gap: f"{words[gap].chinese}" for gap in fits} for words in drawn]
    assert len(chosen) > 90 and fits not in chosen
