"""Tokenizers of GGUF files give the ids of those that they were converted from."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from textapp.errors import ConfigError
from textapp.text.preset import preset_tokenizer
from textapp.text.preset_gguf import SPLIT_PATTERN

pytest.importorskip("gguf")
import gguf_files  # noqa: E402

PARTS = [
    "The film was good.", "don't", "WE'LL", "12345", " 2024", "北京欢迎你", "日本語テキスト", "안녕하세요",
    "😀", "👨‍👩‍👧", "café", "cafe\u0301", "def main(argv: list[str]) -> int:", "\treturn x[0] ** 2", "\n\n", "\r\n",
    "   ", "<|im_end|>", "<tool_call>", "№ ½", "naïve", "مرحبا", "ﬁ", "a" * 40, "https://a.b/c?d=e", "\u200b",
    "{}();//", "[PAD263]",
]  # fmt: skip
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USUAL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
NO_REGEX = {**USUAL, "use_regex": False}


def lines(count: int = 400) -> Iterator[str]:
    choose = random.Random(3)
    for _ in range(count):
        yield choose.choice(["", " "]).join(choose.choices(PARTS, k=choose.randint(1, 8)))


def splits(pattern: str) -> list[dict[str, Any]]:
    return [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}, NO_REGEX]


# The steps before the merges as published: GPT-2's, SmolLM's, Llama 3's, Qwen 2.5's tokenizer.json.
PUBLISHED: dict[str, tuple[list[dict[str, Any]], dict[str, str] | None, bool]] = {
    "gpt-2": ([USUAL], None, False),
    "smollm": ([{"type": "Digits", "individual_digits": True}, USUAL], None, False),
    "llama-bpe": (splits(SPLIT_PATTERN % "{1,3}"), None, True),
    "qwen2": (splits(SPLIT_PATTERN % ""), {"type": "NFC"}, False),
}


def published_tokenizer(pre: str) -> dict[str, Any]:
    """The tokenizer.json of a small BPE model, trained on the lines as its kind splits them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    steps, normalizer, whole = PUBLISHED[pre]
    pipeline = Tokenizer(models.BPE())
    pipeline.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=420, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    pipeline.train_from_iterator(lines(), trainer)
    content = json.loads(pipeline.to_str())
    size = len(content["model"]["vocab"])
    added = [*CONTROL, "<tool_call>"]
    content["added_tokens"] = [
        {"id": size + place, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": token in CONTROL}
        for place, token in enumerate(added)
    ]  # fmt: skip
    content["normalizer"], content["pre_tokenizer"] = normalizer, {"type": "Sequence", "pretokenizers": steps}
    content["decoder"], content["model"]["ignore_merges"] = USUAL, whole
    if whole:  # a word that no merge makes
        word = max(content["model"]["vocab"], key=len)
        content["model"]["merges"] = [pair for pair in content["model"]["merges"] if "".join(pair) != word]
    return content


def converted(content: dict[str, Any], pre: str) -> dict[str, Any]:
    """The keys that the converter of llama.cpp writes for it, with rows of the model that no token has."""
    ids = content["model"]["vocab"] | {token["content"]: token["id"] for token in content["added_tokens"]}
    tokens = [*sorted(ids, key=ids.__getitem__), "[PAD998]", "[PAD999]"]
    special = {token["content"]: 3 if token["special"] else 4 for token in content["added_tokens"]}
    types = [5 if token.startswith("[PAD9") else special.get(token, 1) for token in tokens]
    merges = [" ".join(pair) for pair in content["model"]["merges"]]
    end = ids["<|im_end|>"]
    return {
        "model": "gpt2", "pre": pre, "tokens": tokens, "token_type": types, "merges": merges, "eos_token_id": end,
        "bos_token_id": ids["<|im_start|>"], "padding_token_id": ids["<|endoftext|>"], "add_bos_token": False,
    }  # fmt: skip


def written(file: Path, tokens: dict[str, Any]) -> Path:
    return gguf_files.write(file, *gguf_files.model("llama"), tokens=tokens)


@pytest.mark.parametrize("pre", PUBLISHED)
def test_ids_of_byte_level_bpe_are_those_of_the_published_tokenizer(tmp_path: Path, pre: str) -> None:
    content = published_tokenizer(pre)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    names = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")
    expected = preset_tokenizer(tmp_path)
    tokenizer = preset_tokenizer(written(tmp_path / "model.gguf", converted(content, pre)))
    for line in lines():
        assert tokenizer.ids(line) == expected.ids(line)
        assert tokenizer.decode(tokenizer.ids(line)) == expected.decode(expected.ids(line))
    for name in ("start_id", "end_id", "pad_id", "vocabulary_size", "template", "kind"):
        assert getattr(tokenizer, name) == getattr(expected, name), name


def test_the_ways_to_split_differ(tmp_path: Path) -> None:
    """So that the test above can tell them apart."""
    content = published_tokenizer("gpt-2")
    files = {pre: written(tmp_path / f"{pre}.gguf", converted(content, pre)) for pre in PUBLISHED}
    ids = {pre: tuple(map(tuple, map(preset_tokenizer(file).ids, lines(200)))) for pre, file in files.items()}
    assert len(set(ids.values())) == len(PUBLISHED)


def test_several_ids_end_a_text(tmp_path: Path) -> None:
    tokens = converted(published_tokenizer("qwen2"), "qwen2")
    tokens |= {"eot_token_id": tokens["bos_token_id"], "eom_token_id": tokens["eos_token_id"]}
    tokenizer = preset_tokenizer(written(tmp_path / "model.gguf", tokens))
    assert (tokenizer.end_id, tokenizer.other_end_ids) == (tokens["eos_token_id"], [tokens["bos_token_id"]])


def test_the_chat_template_and_the_tokens_that_it_may_use(tmp_path: Path) -> None:
    tokens = converted(published_tokenizer("qwen2"), "qwen2")
    assert preset_tokenizer(written(tmp_path / "none.gguf", tokens)).chat_template is None
    changes, file = {".tokenizer.chat_template": "{{ bos_token }}"}, tmp_path / "model.gguf"
    template = preset_tokenizer(
        gguf_files.write(file, *gguf_files.model("llama"), changes=changes, tokens=tokens)
    ).chat_template
    assert template is not None and template.source == "{{ bos_token }}"
    assert template.tokens == {
        "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"
    }  # fmt: skip


def test_a_start_token_before_each_text(tmp_path: Path) -> None:
    tokens = converted(published_tokenizer("llama-bpe"), "llama-bpe") | {"add_bos_token": True}
    tokenizer = preset_tokenizer(written(tmp_path / "model.gguf", tokens))
    assert tokenizer.template.start == (tokenizer.start_id,) == (tokens["bos_token_id"],)
    assert (tokenizer.template.middle, tokenizer.template.end) == ((), ())


@pytest.mark.parametrize("prefix", [True, False])
def test_ids_of_sentencepiece_are_those_of_the_published_model(tmp_path: Path, prefix: bool) -> None:
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as proto

    model = proto.ModelProto.FromString(llama_pieces())
    model.normalizer_spec.add_dummy_prefix = prefix
    expected = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    tokens = {
        "model": "llama", "tokens": [piece.piece for piece in model.pieces], "bos_token_id": 1, "eos_token_id": 2,
        "token_type": [piece.type for piece in model.pieces], "scores": [piece.score for piece in model.pieces],
        "unknown_token_id": 0, "add_space_prefix": prefix,
    }  # fmt: skip
    tokenizer = preset_tokenizer(written(tmp_path / "model.gguf", tokens))
    for line in lines():
        assert tokenizer.ids(line) == expected.encode(line)
        assert tokenizer.decode(tokenizer.ids(line)) == expected.decode(expected.encode(line))
    assert (tokenizer.unknown_id, tokenizer.start_id, tokenizer.end_id) == (0, 1, 2)


def llama_pieces() -> bytes:
    """A SentencePiece model as Llama's: BPE with bytes, which keeps spaces and all characters."""
    import io

    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for line in lines() if line.strip()]), model_writer=written, vocab_size=500,
        model_type="bpe", byte_fallback=True, hard_vocab_limit=False, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        minloglevel=2, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        character_coverage=0.98,
    )  # fmt: skip
    return written.getvalue()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "bert"}, r"tokenizer.ggml.model: found 'bert', expected gpt2 \(byte-level BPE\) or llama"),
        ({"model": None}, r"tokenizer.ggml.model: found nothing, expected a str"),
        ({"pre": "tekken"}, r"tokenizer.ggml.pre: found 'tekken', expected one of llama-bpe, .*qwen2.*gpt-2"),
        ({"pre": None}, r"tokenizer.ggml.pre: found nothing, expected one of"),
        ({"tokens": ["a", "a"]}, r"tokenizer.ggml.tokens: found 2 tokens, 1 different ones, expected a vocabulary"),
        ({"token_type": [1, 2]}, r"tokenizer.ggml.token_type: found 2 types \[1, 2\], expected a number from 1 to 6"),
        (
            {"merges": ["no such pieces here"]},
            r"model.gguf: found a tokenizer that the package tokenizers .* cannot re",
        ),
        ({"merges": 7}, r"tokenizer.ggml.merges: found 7, expected a list"),
    ],
)
def test_what_is_not_served_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    tokens = converted(published_tokenizer("qwen2"), "qwen2") | changes
    with pytest.raises(ConfigError, match=message):
        preset_tokenizer(written(tmp_path / "model.gguf", tokens))


def test_a_damaged_vocabulary_of_sentencepiece(tmp_path: Path) -> None:
    tokens = {"model": "llama", "tokens": ["<unk>", "a"], "token_type": [2, 1], "scores": [0.0]}
    with pytest.raises(ConfigError, match=r"tokenizer.ggml.scores: found \[0.0\], expected a number for each of 2 tok"):
        preset_tokenizer(written(tmp_path / "model.gguf", tokens))


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=r"model\.gguf: found a damaged or partly downloaded file of 4 bytes"):
        preset_tokenizer(tmp_path / "model.gguf")
    whole = written(tmp_path / "whole.gguf", {"model": "llama", "tokens": ["<unk>"] * 9, "scores": [0.5] * 9})
    (tmp_path / "model.gguf").write_bytes(whole.read_bytes()[:121])
    with pytest.raises(ConfigError, match=r"file of 121 bytes \(expected \d+ bytes from byte \d+ on, the file ends"):
        preset_tokenizer(tmp_path / "model.gguf")
