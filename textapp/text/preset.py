"""Converts the tokenizer of a pretrained checkpoint to one that runs without the checkpoint's own framework.

Reads folders in Hugging Face layout and in KerasHub layout; a preset name is loaded by KerasHub once, for training.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.errors import ConfigError, require
from textapp.text.huggingface import HuggingFaceTokenizer
from textapp.text.sentencepiece import SentencePieceTokenizer
from textapp.text.template import Template
from textapp.text.tokenizer import Tokenizer

SUPPORTED = (
    "supported: a Hugging Face folder with tokenizer.json, vocab.txt, or vocab.json and merges.txt; a KerasHub folder "
    "with files of WordPiece (BERT, DistilBERT, ELECTRA), byte-level BPE (RoBERTa, GPT-2, BART, OPT, Llama 3, Qwen) or "
    "SentencePiece (ALBERT, DeBERTa-v3, F-Net, T5, Llama, Mistral, Gemma); the name of such a KerasHub preset"
)

_ASSETS = Path("assets/tokenizer")
_CONFIG = "tokenizer_config.json"
_REMOTE = re.compile(r"[a-z]+://.+")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_START, _END = ("[CLS]", "<s>"), ("[SEP]", "</s>")
_PAD, _UNKNOWN = ("[PAD]", "<pad>", "<|endoftext|>", "<|padding|>"), ("[UNK]", "<unk>", "<|endoftext|>")
# The tokens before and after a generated text, in order of preference. A model without a start token of its own was
# trained on texts that follow the end token of the previous text.
_BEGINS = ("<bos>", "<|begin_of_text|>", "<s>", "[CLS]", "<|endoftext|>")
_ENDS = ("<eos>", "<|end_of_text|>", "</s>", "[SEP]", "<|endoftext|>")
# Start and end tokens of the KerasHub classes whose vocabularies also hold other candidates. The decoder of an
# encoder-decoder model starts with a token that never comes before a text.
_GENERATORS = {
    "BartTokenizer": ("</s>", "</s>"),
    "T5Tokenizer": ("<pad>", "</s>"),
    "OPTTokenizer": ("</s>", "</s>"),
    "Qwen3Tokenizer": ("<|endoftext|>", "<|im_end|>"),
    "Phi3Tokenizer": ("<s>", "<|endoftext|>"),
}
_SENTENCEPIECE = (
    "AlbertTokenizer", "DebertaV3Tokenizer", "FNetTokenizer", "LlamaTokenizer", "MistralTokenizer", "GemmaTokenizer",
    "Phi3Tokenizer", "T5Tokenizer",
)  # fmt: skip
# How byte-level BPE splits a text before merging, by KerasHub class; others split as GPT-2 does. The classes differ in
# how many digits stay together.
_SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_SPLIT_PATTERNS = {
    "Llama3Tokenizer": _SPLIT_PATTERN % "{1,3}",
    "SmolLM3Tokenizer": _SPLIT_PATTERN % "{1,3}",
    "QwenTokenizer": _SPLIT_PATTERN % "",
    "Qwen3Tokenizer": _SPLIT_PATTERN % "",
}


def preset_tokenizer(path: str | Path) -> Tokenizer:
    """Reads the tokenizer of a pretrained checkpoint.

    Args:
        path: a folder in Hugging Face or KerasHub layout, or the name of a KerasHub preset (`bert_tiny_en_uncased`).

    Returns:
        A tokenizer of kind `preset`, without cleaning steps: the checkpoint's own rules clean the text. It gives the
        same ids as the package `tokenizers`.

    Raises:
        ConfigError: the folder or preset does not exist, or its kind of tokenizer is not supported.
    """
    folder = Path(path)
    try:
        if folder.is_dir():
            return _from_folder(folder)
        if _REMOTE.fullmatch(str(path)) or _NAME.fullmatch(str(path)):
            return _from_name(str(path))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(f"model.path: {path}: its tokenizer cannot be read: {error}; {SUPPORTED}") from error
    raise ConfigError(f"model.path: {path}: no such folder; {SUPPORTED}")


def _from_name(name: str) -> Tokenizer:
    """Lets KerasHub download a preset's tokenizer, and reads the files that it saves."""
    keras_hub = require("keras_hub", "train")
    with tempfile.TemporaryDirectory() as folder:
        keras_hub.models.Tokenizer.from_preset(name).save_to_preset(folder)
        return _from_folder(Path(folder))


def _from_folder(folder: Path) -> Tokenizer:
    settings = _json(folder / "tokenizer.json")
    if "model" in settings:
        tokenizer = _from_pipeline((folder / "tokenizer.json").read_text(encoding="utf-8"), folder)
        return _with_decoder_start(tokenizer, folder)
    if "class_name" in settings:
        return _from_keras_hub(folder / _ASSETS, settings)
    if (folder / "vocab.txt").is_file():
        vocabulary = _read_vocabulary(folder / "vocab.txt")
        config = _json(folder / _CONFIG)
        # A vocabulary without capitals belongs to an uncased model.
        uncased = all(word == word.lower() for word in vocabulary if not re.fullmatch(r"\[.+\]", word))
        return _wordpiece(vocabulary, config.get("do_lower_case", uncased), config.get("strip_accents"))
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        config = _json(folder / _CONFIG)
        prefix_space = config.get("add_prefix_space", False)
        tokenizer = _byte_level_bpe(folder / "vocab.json", folder / "merges.txt", prefix_space, config)
        return _with_decoder_start(tokenizer, folder)
    files = ", ".join(sorted(file.name for file in folder.iterdir())[:10]) or "nothing"
    raise ConfigError(f"model.path: {folder}: no tokenizer that textapp can read (found {files}); {SUPPORTED}")


def _with_decoder_start(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    """Sets the decoder's start token, which Hugging Face's layout keeps in the model's config.json."""
    start_id = _json(folder / "config.json").get("decoder_start_token_id")
    if start_id is not None:
        tokenizer.start_id = start_id
    return tokenizer


def _from_keras_hub(assets: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """Reads KerasHub's layout: tokenizer.json holds the settings, assets/tokenizer/ the vocabulary."""
    options, name = settings["config"], settings["class_name"]
    named = dict(zip(("bos_token", "eos_token"), _GENERATORS.get(name, ()), strict=False))
    if (assets / "vocabulary.txt").is_file():
        # KerasHub keeps accents in uncased text by default; the checkpoints were trained without, as in `tokenizers`.
        strip_accents = options.get("strip_accents") or None
        return _wordpiece(_read_vocabulary(assets / "vocabulary.txt"), options.get("lowercase", False), strip_accents)
    if (assets / "vocabulary.json").is_file():
        pattern = options.get("split_pattern") or _SPLIT_PATTERNS.get(name)
        prefix_space = options.get("add_prefix_space", False)
        return _byte_level_bpe(assets / "vocabulary.json", assets / "merges.txt", prefix_space, named, pattern)
    if name in _SENTENCEPIECE:
        return _sentencepiece((assets / "vocabulary.spm").read_bytes(), named)
    raise ConfigError(f"model.path: found the tokenizer {name}, which is not supported; {SUPPORTED}")


def _wordpiece(vocabulary: Sequence[str], lowercase: bool, strip_accents: bool | None) -> Tokenizer:
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    ids = {word: number for number, word in enumerate(vocabulary)}
    pipeline = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    pipeline.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    pipeline.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pipeline.decoder = decoders.WordPiece()
    pipeline.add_special_tokens([word for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if word in ids])
    return _wrapped(pipeline, _template(ids), {})


def _byte_level_bpe(
    vocabulary: Path, merges: Path, add_prefix_space: bool, config: Mapping[str, Any], split_pattern: str | None = None
) -> Tokenizer:
    """Byte-level BPE (Radford et al., 2019), which splits a text by `split_pattern`, or as GPT-2 does."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    model = models.BPE.from_file(str(vocabulary), str(merges))
    pipeline = tokenizers.Tokenizer(model)
    pre_tokenizer: pre_tokenizers.PreTokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=add_prefix_space, use_regex=split_pattern is None
    )
    if split_pattern is not None:
        split = pre_tokenizers.Split(tokenizers.Regex(split_pattern), behavior="isolated")
        pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizer])
    pipeline.pre_tokenizer = pre_tokenizer
    pipeline.decoder = decoders.ByteLevel()
    ids = pipeline.get_vocab()
    special = (*_START, *_END, *_PAD, *_UNKNOWN, *_BEGINS, *_ENDS, "<mask>", "<|im_start|>", "<|im_end|>")
    pipeline.add_special_tokens([word for word in dict.fromkeys(special) if word in ids])
    return _wrapped(pipeline, _template(ids), config)


def _sentencepiece(model: bytes, config: Mapping[str, Any]) -> Tokenizer:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = {processor.id_to_piece(number): number for number in range(len(processor))}
    pad_id, start_id, end_id = _special_ids(ids, config)
    template = _template(ids)
    return SentencePieceTokenizer(model, "preset", (), template, pad_id=pad_id, start_id=start_id, end_id=end_id)


def _from_pipeline(content: str, folder: Path) -> Tokenizer:
    """Reads Hugging Face's tokenizer.json, which holds the whole pipeline and where its special tokens go."""
    import tokenizers

    pipeline = tokenizers.Tokenizer.from_str(content)
    pipeline.no_padding()
    pipeline.no_truncation()
    one = pipeline.encode("a", add_special_tokens=True)
    pair = pipeline.encode("a", "a", add_special_tokens=True)
    start, end = _special_runs(one.ids, one.special_tokens_mask)
    _, middle, _ = _special_runs(pair.ids, pair.special_tokens_mask)
    template = Template(start, middle, end, second_segment=max(pair.type_ids, default=0))
    return _wrapped(pipeline, template, _json(folder / _CONFIG))


def _special_runs(ids: Sequence[int], mask: Sequence[int]) -> list[tuple[int, ...]]:
    """The special tokens before, between and after the texts: one run more than there are texts.

    Args:
        ids: the token ids of one text or two, with special tokens.
        mask: 1 for a special token, else 0.

    Example: `_special_runs([101, 7, 102], [1, 0, 1])` is `[(101,), (102,)]`.
    """
    runs: list[list[int]] = [[]]
    text = False
    for token_id, special in zip(ids, mask, strict=True):
        if special:
            runs[-1].append(token_id)
        elif not text:
            runs.append([])
        text = not special
    return [tuple(run) for run in runs]


def _wrapped(pipeline: Any, template: Template, config: Mapping[str, Any]) -> Tokenizer:
    ids = pipeline.get_vocab()
    pad_id, start_id, end_id = _special_ids(ids, config)
    unknown_id = next((ids[name] for name in (_token(config.get("unk_token")), *_UNKNOWN) if name in ids), pad_id)
    return HuggingFaceTokenizer(pipeline.to_str(), "preset", (), template, pad_id, unknown_id, start_id, end_id)


def _special_ids(ids: Mapping[str, int], config: Mapping[str, Any]) -> tuple[int, int, int]:
    """The ids of padding, start and end.

    Without a padding token the end token pads: on the right, where no token attends to it.
    """
    names = {key: _token(config.get(key)) for key in ("bos_token", "eos_token", "pad_token")}
    end = next((ids[name] for name in (names["eos_token"], *_ENDS) if name in ids), None)
    start = next((ids[name] for name in (names["bos_token"], *_BEGINS) if name in ids), end)
    pad = next((ids[name] for name in (names["pad_token"], *_PAD) if name in ids), end)
    if pad is None or start is None or end is None:
        expected = ", ".join(dict.fromkeys(filter(None, (*names.values(), *_PAD, *_ENDS))))
        raise ConfigError(f"model.path: its tokenizer has no padding token; expected one of {expected}")
    return pad, start, end


def _template(ids: Mapping[str, int]) -> Template:
    """`[CLS] a [SEP] b [SEP]` as in BERT, `<s> a </s></s> b </s>` as in RoBERTa, or nothing around a text."""
    if "[CLS]" in ids and "[SEP]" in ids:
        return Template((ids["[CLS]"],), (ids["[SEP]"],), (ids["[SEP]"],))
    if "<s>" in ids and "</s>" in ids:
        end = ids["</s>"]
        return Template((ids["<s>"],), (end, end), (end,), second_segment=0)
    return Template(second_segment=0)


def _token(value: Any) -> str:
    """The text of a special token in tokenizer_config.json: a string, or an object with `content`."""
    return value.get("content", "") if isinstance(value, dict) else value or ""


def _read_vocabulary(file: Path) -> list[str]:
    """One word per line. Splits at line feeds only: `splitlines` would split inside words of BERT vocabularies."""
    return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
