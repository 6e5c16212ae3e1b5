"""One table of promises, kept by every kind of tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textapp.artifact import SETTINGS
from textapp.errors import ArtifactError
from textapp.text.preset import preset_tokenizer
from textapp.text.template import Template
from textapp.text.tokenizer import Tokenizer, load_tokenizer, load_tokenizers
from textapp.text.training import train_tokenizer

KINDS = ("sentencepiece", "bpe", "characters", "wordpiece", "preset")
TRAINED = KINDS[:-1]
DEFAULT = ("nfkc", "lowercase", "whitespace")
TEXTS = [
    "A good film, and a fine one.",
    "the plot is thin but the acting is good",
    "今天的电影非常好看，我很喜欢。",
    "这家酒店的服务很差",
]
MIXED = [
    "Ｇｏｏｄ ﬁlm!",
    "好电影 good 😀👨‍👩‍👧",
    "مرحبا بالعالم",
    "cafe\u0301 \u1100\u1161\u11a8",
    "a\x00b\x01c\u200bd\ufeff",
    "  many   spaces\tand\nlines ",
    "[PAD] [UNK] [CLS] <pad> <s> </s> ▁good",
    "half a pair: \ud83d",
]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tokenizer]:
    made: dict[tuple, Tokenizer] = {}

    def tokenizer(kind: str, cleaning: tuple[str, ...] = DEFAULT) -> Tokenizer:
        if (kind, cleaning) not in made:
            if kind == "preset":
                folder = tmp_path_factory.mktemp("bert")
                words = [
                    "[PAD]",
                    "[UNK]",
                    "[CLS]",
                    "[SEP]",
                    "a",
                    "good",
                    "film",
                    "the",
                    "plot",
                    "##s",
                    "##m",
                    ",",
                    "好",
                    "电",
                    "影",
                ]
                (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
                made[kind, cleaning] = preset_tokenizer(folder)
            else:
                made[kind, cleaning] = train_tokenizer(kind, 200, TEXTS * 5, cleaning)
        return made[kind, cleaning]

    return tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_encode_agree_and_never_pad(make: Callable[..., Tokenizer], kind: str) -> None:
    tokenizer = make(kind)
    for text in [*TEXTS, *MIXED]:
        ids = tokenizer.ids(text)
        assert tokenizer.encode(text).ids == ids
        assert tokenizer.pad_id not in ids
        assert all(0 <= token_id < tokenizer.vocabulary_size for token_id in ids)


@pytest.mark.parametrize("kind", KINDS)
def test_many_ids_are_those_of_each_text(make: Callable[..., Tokenizer], kind: str) -> None:
    tokenizer, texts = make(kind), [*TEXTS, *MIXED, ""]
    assert tokenizer.many_ids(texts) == [tokenizer.ids(text) for text in texts]


@pytest.fixture(scope="module")
def english() -> Tokenizer:
    return train_tokenizer("bpe", 120, [*TEXTS[:2], "caf\u00e9 \u0308 good ▁ films"], DEFAULT, "en")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(words=st.lists(st.text(max_size=6) | st.sampled_from(["good", "film", "▁", "\u0308", "\u00a8", "\u00a0", ""])))
def test_the_ids_of_a_text_are_those_of_its_words(english: Tokenizer, words: list[str]) -> None:
    texts = [" ".join(words), "\n ".join(words)]
    assert english.many_ids(texts) == [english.ids(text) for text in texts]


def test_words_are_tokenised_once_where_that_changes_nothing(
    make: Callable[..., Tokenizer], english: Tokenizer
) -> None:
    english.many_ids(["good film", "good plot"])
    assert {"good", "film", "plot"} <= english._words.keys()  # type: ignore[attr-defined]
    # no mark at the beginning of a word, spaces that count, and pieces cut by their summed scores
    assert make("bpe")._words is None is make("bpe", ())._words  # type: ignore[attr-defined]
    assert train_tokenizer("sentencepiece", 60, TEXTS[:2], DEFAULT, "en")._words is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(max_size=40))
def test_offsets_ascend_and_lie_in_the_text(make: Callable[..., Tokenizer], kind: str, text: str) -> None:
    ids, offsets = make(kind, DEFAULT if kind == "preset" else ("html", "urls", *DEFAULT)).encode(text)
    assert len(ids) == len(offsets)
    assert all(0 <= start <= end <= len(text) for start, end in offsets)
    assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_slice_the_original_text(make: Callable[..., Tokenizer], kind: str) -> None:
    tokenizer = make(kind)
    text = "Ｔhe  GOOD film，好电影"
    pieces = tokenizer.pieces()
    found = [
        (pieces[token_id].removeprefix("▁").removeprefix("##"), text[start:end])
        for token_id, (start, end) in zip(*tokenizer.encode(text), strict=True)
        if token_id != tokenizer.unknown_id and text[start:end].strip()
    ]
    assert len(found) >= 5  # of the preset, which knows neither "the" nor the comma
    assert [bare for bare, _ in found] == [part.replace("Ｔ", "t").replace("，", ",").lower() for _, part in found]


@pytest.mark.parametrize("kind", TRAINED)
def test_offsets_reach_over_dropped_markup(make: Callable[..., Tokenizer], kind: str) -> None:
    text = "<p>a <b>good</b> film</p>"
    encoding = make(kind, ("html", *DEFAULT)).encode(text)
    assert encoding.offsets[-1][1] == text.index("</p>")
    covered = "".join(text[start:end].strip() for start, end in encoding.offsets)
    assert covered == "agoodfilm"


@pytest.mark.parametrize("kind", TRAINED)
def test_decode_gives_the_cleaned_text_back(make: Callable[..., Tokenizer], kind: str) -> None:
    tokenizer = make(kind)
    text = "the acting is good"
    assert tokenizer.decode([*tokenizer.ids(text.upper()), tokenizer.pad_id]) == text


@pytest.mark.parametrize("kind", ["sentencepiece", "bpe", "characters"])
def test_chinese_comes_back_without_spaces(make: Callable[..., Tokenizer], kind: str) -> None:
    tokenizer = make(kind)
    assert tokenizer.decode(tokenizer.ids("我很喜欢电影")) == "我很喜欢电影"


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_gives_the_same(make: Callable[..., Tokenizer], kind: str, tmp_path: Path) -> None:
    tokenizer = make(kind)
    tokenizer.save(tmp_path / "tokenizer")
    loaded = load_tokenizer(tmp_path / "tokenizer")
    for name in ("kind", "vocabulary_size", "pad_id", "unknown_id", "start_id", "end_id", "cleaning", "python_steps"):
        assert getattr(loaded, name) == getattr(tokenizer, name)
    assert loaded.pieces() == tokenizer.pieces()
    for text in [*TEXTS, *MIXED]:
        assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.join([5, 6], [7], 16) == tokenizer.join([5, 6], [7], 16)


def test_a_tokenizer_saved_without_start_and_end_has_those_of_all(
    make: Callable[..., Tokenizer], tmp_path: Path
) -> None:
    make("bpe").save(tmp_path)
    settings = json.loads((tmp_path / SETTINGS).read_text(encoding="utf-8"))
    assert (settings.pop("start_id"), settings.pop("end_id")) == (2, 3)
    (tmp_path / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
    loaded = load_tokenizer(tmp_path)
    assert (loaded.start_id, loaded.end_id) == (2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_text_has_no_tokens(make: Callable[..., Tokenizer], kind: str) -> None:
    assert make(kind).ids("") == []
    assert make(kind).encode("") == ([], [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_megabyte_comes_through(make: Callable[..., Tokenizer], kind: str) -> None:
    tokenizer = make(kind)
    for text in ["good film " * 100_000, "好" * 350_000, "x" * 1_000_000]:
        assert tokenizer.ids(text)


@pytest.mark.parametrize("kind", TRAINED)
def test_special_ids_are_where_the_model_expects_them(make: Callable[..., Tokenizer], kind: str) -> None:
    tokenizer = make(kind)
    assert (tokenizer.pad_id, tokenizer.unknown_id) == (0, 1)
    assert tokenizer.never_ids == [0, 1, 2]
    assert tokenizer.unknown_id in tokenizer.ids("Ж")
    assert tokenizer.join([5, 6], None, 16) == ([5, 6], [0, 0])
    assert tokenizer.join([5, 6], [7], 16) == ([5, 6, 3, 7], [0, 0, 0, 1])


@pytest.mark.parametrize("cleaning", [(), ("lowercase",), ("nfkc",), ("nfkc", "lowercase"), ("html", "urls", "nfkc")])
def test_sentencepiece_leaves_to_python_what_its_normaliser_lacks(cleaning: tuple[str, ...]) -> None:
    tokenizer = train_tokenizer("characters", 100, ["Good film"] * 5, cleaning)
    known = tokenizer.unknown_id not in tokenizer.ids("Ｇ")
    assert known == ("nfkc" in cleaning)
    assert (tokenizer.unknown_id in tokenizer.ids("g")) == ("lowercase" not in cleaning)
    in_graph = {"nfkc", "lowercase"} if "nfkc" in cleaning else set()
    assert set(tokenizer.python_steps) == set(cleaning) - in_graph


BERT = Template((101,), (102,), (102,))


@pytest.mark.parametrize(
    ("ids", "pair", "length", "expected"),
    [
        ([7, 8], None, 8, [101, 7, 8, 102]),
        ([7, 8, 9], None, 4, [101, 7, 8, 102]),
        ([7, 8], [9], 8, [101, 7, 8, 102, 9, 102]),
        ([1, 2, 3, 4, 5], [9], 7, [101, 1, 2, 3, 102, 9, 102]),
        ([1], [5, 6, 7, 8, 9], 7, [101, 1, 102, 5, 6, 7, 102]),
        ([1, 2, 3, 4], [5, 6, 7, 8], 7, [101, 1, 2, 102, 5, 6, 102]),
        ([], [], 8, [101, 102, 102]),
        ([1, 2], [3, 4], 2, [101, 102]),
    ],
)
def test_a_template_cuts_the_longer_text_first(
    ids: list[int], pair: list[int] | None, length: int, expected: list[int]
) -> None:
    joined, segments = BERT.join(ids, pair, length)
    assert joined == expected
    after_first = expected.index(102) + 1 if pair is not None else len(expected)
    assert segments == [0] * after_first + [1] * (len(expected) - after_first)


@pytest.mark.parametrize("damage", ["no settings", "no model", "cut model", "no template"])
def test_a_damaged_folder_is_named(make: Callable[..., Tokenizer], tmp_path: Path, damage: str) -> None:
    make("sentencepiece").save(tmp_path)
    model = tmp_path / "sentencepiece.model"
    if damage == "no settings":
        (tmp_path / SETTINGS).unlink()
    elif damage == "no model":
        model.unlink()
    elif damage == "cut model":
        model.write_bytes(model.read_bytes()[:100])
    else:
        (tmp_path / SETTINGS).write_text(json.dumps({"kind": "bpe"}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=f"{tmp_path}.*copy the whole folder"):
        load_tokenizer(tmp_path)


def test_one_tokenizer_or_one_a_side(tmp_path: Path) -> None:
    train_tokenizer("characters", 60, TEXTS[2:]).save(tmp_path / "tokenizer")
    source, target = load_tokenizers(tmp_path)
    assert source is target
    train_tokenizer("characters", 60, TEXTS[:2]).save(tmp_path / "target_tokenizer")
    source, target = load_tokenizers(tmp_path)
    assert source.unknown_id in source.ids("film") and target.unknown_id not in target.ids("film")


def test_a_target_tokenizer_cut_short_is_no_missing_one(tmp_path: Path) -> None:
    train_tokenizer("characters", 60, TEXTS).save(tmp_path / "tokenizer")
    (tmp_path / "target_tokenizer").mkdir()
    with pytest.raises(ArtifactError, match="target_tokenizer/settings.json: no such file"):
        load_tokenizers(tmp_path)
