from __future__ import annotations

import re

import pytest

from textapp.demo.samples import generator, make_samples, write_samples

DEMO = (
    "你好，我是人工智能助手", "什么是人工智能", "今天天气很好", "春天的景色",
    "This phone is great, I love it",
)  # fmt: skip
TEMPLATES = (
    r"你好，我是",
    r"什么是",
    r"^今天",
    r"^(?!.*真的)\w{1,4}的\w{1,4}。$",
    r"[Tt]he \w+ was \w+ and the \w+ was \w+",
)


@pytest.fixture(scope="module")
def samples():
    return make_samples()


def test_sizes_balance_and_no_text_twice(samples) -> None:
    train, test = samples
    assert (len(train), len(test)) == (3000, 600)
    assert len({sample.text for sample in train + test}) == 3600
    for split in samples:
        assert sum(sample.label == "positive" for sample in split) * 2 == len(split)
        assert sum(bool(re.search("[\u4e00-\u9fff]", sample.text)) for sample in split) * 2 == len(split)


def test_the_same_on_every_call(samples, tmp_path) -> None:
    assert make_samples() == samples
    write_samples(tmp_path)
    lines = (tmp_path / "test.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "label\ttext"
    assert lines[1:] == ["\t".join(sample) for sample in samples[1]]


def test_no_demo_sentence_nor_its_template(samples) -> None:
    for sample in samples[0] + samples[1]:
        assert not any(sentence in sample.text for sentence in DEMO), sample
        assert not any(re.search(template, sample.text) for template in TEMPLATES), sample


def test_words_alone_do_not_solve_it(samples) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    (train_labels, train), (test_labels, test) = (zip(*split, strict=True) for split in samples)
    vectorizer = text.TfidfVectorizer(token_pattern=r"[a-zA-Z]+|[\u4e00-\u9fff]", ngram_range=(1, 2))
    model = linear.LogisticRegression(C=10, max_iter=2000).fit(vectorizer.fit_transform(train), train_labels)
    assert 75 < 100 * model.score(vectorizer.transform(test), test_labels) < 95


def test_combinations_of_the_test_split_never_stand_in_train(monkeypatch) -> None:
    """Recorded where the gaps of a sentence are filled: which noun met which word, or which other noun."""
    met: dict[bool, set[tuple[str, str]]] = {False: set(), True: set()}
    now = []
    unseen, filled = generator._unseen, generator._filled

    def of_a_split(choice, language, label, kind, for_test, seen):
        now[:] = [for_test]
        return unseen(choice, language, label, kind, for_test, seen)

    def recorded(frame, noun, word, **others):
        met[now[0]].add((noun, others.get("other", word)))
        return filled(frame, noun=noun, word=word, **others)

    monkeypatch.setattr(generator, "_unseen", of_a_split)
    monkeypatch.setattr(generator, "_filled", recorded)
    make_samples()
    assert len(met[True]) > 200 and not met[True] & met[False]
    # words alone are not held out: each noun of a test sentence is known from training
    assert {noun for noun, _ in met[True]} <= {noun for noun, _ in met[False]}
