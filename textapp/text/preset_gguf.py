"""Reads a GGUF file: its keys, its tensors as they are stored, and its tokenizer as a published folder holds it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textapp.errors import ConfigError, require
from textapp.text.preset_files import DOWNLOAD, check_file

MAGIC = b"GGUF"
# How byte-level BPE of Llama 3 and Qwen splits a text before merging; they differ in how many digits stay together.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
# The splits by `tokenizer.ggml.pre`, which a converter derives from the ids that the published tokenizer gives.
_SPLITS: Mapping[str, str | None] = {
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3"), SPLIT_PATTERN % "{1,3}"),
    "qwen2": SPLIT_PATTERN % "",
    **dict.fromkeys(("gpt-2", "smollm", "starcoder", "refact"), None),  # as GPT-2 does
}
_SINGLE_DIGITS = ("smollm", "starcoder", "refact")
_WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3")  # a word of the vocabulary is one token, whatever its merges
_NORMALIZED = ("qwen2",)
_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5
_SPECIAL = {
    "bos_token": ("bos",), "eos_token": ("eos", "eot", "eom"), "pad_token": ("padding",), "unk_token": ("unknown",)
}  # fmt: skip
_FOLDER = "take the model as a folder in Hugging Face layout"


class Gguf(NamedTuple):
    """A GGUF file.

    Attributes:
        path: of the file.
        values: key -> text, number, or list of them.
        tensors: name -> a `gguf.ReaderTensor`, whose data stay in the file until they are read.
    """

    path: Path
    values: Mapping[str, Any]
    tensors: Mapping[str, Any]

    def of_type(self, key: str, kind: type, default: Any = None) -> Any:
        """The value of a key; `default` if there is none.

        Args:
            key: of the file.
            kind: type of the value.
            default: None: the key is required.

        Raises:
            ConfigError: it is missing or of another type.
        """
        value = self.values.get(key, default)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise self.fault(key, f"a {kind.__name__}")
        return value

    def fault(self, key: str, expected: str) -> ConfigError:
        """The error for the value of a key."""
        found = repr(self.values[key])[:200] if key in self.values else "nothing"
        return ConfigError(f"model.path: {self.path}: {key}: found {found}, expected {expected}; {_FOLDER}")


def is_gguf(path: Path) -> bool:
    """Whether a path is a GGUF file, by its first bytes or, for the message about a damaged one, its name."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC or path.suffix.lower() == ".gguf"


def read_gguf(path: Path) -> Gguf:
    """Reads the keys of a GGUF file, and where its tensors are; the last file is kept, as this takes seconds.

    Raises:
        ConfigError: it is damaged, cut off, or one part of several.
        UsageError: the package gguf is not installed.
    """
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _read(path: Path, size: int, changed: int) -> Gguf:
    check_file(path)
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start != MAGIC:
        raise ConfigError(
            f"model.path: {path}: found a file that begins with {start!r}, expected a GGUF file, which begins with "
            f"{MAGIC!r}: {DOWNLOAD}"
        )
    gguf: Any = require("gguf", "gguf")

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        """Tells where a file was cut off; the package would go on with empty arrays."""

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            whole = np.dtype(dtype).itemsize * int(count)
            if offset + whole > size:
                raise ValueError(f"expected {whole:,} bytes from byte {offset:,} on, the file ends before")
            return super()._get(offset, dtype, count, override_order)

    try:
        reader = Reader(path)
        values = {key: field.contents() for key, field in reader.fields.items()}
    except Exception as error:  # a damaged file raises many kinds of errors
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"model.path: {path}: found a damaged or partly downloaded file of {size:,} bytes ({reason}), expected "
            f"GGUF: {DOWNLOAD}, or install a newer package gguf"
        ) from error
    if values.get("split.count", 1) not in (0, 1):
        raise ConfigError(
            f"model.path: {path}: found one of {values['split.count']} parts, expected a whole model: merge them with "
            "llama-gguf-split --merge"
        )
    return Gguf(path, values, {tensor.name: tensor for tensor in reader.tensors})


# --- the tokenizer -------------------------------------------------------------------------------------------------


def is_sentencepiece(file: Gguf) -> bool:
    """Whether the tokenizer is a SentencePiece model, else byte-level BPE.

    Raises:
        ConfigError: it is of another kind, or splits texts in a way that is not known here.
    """
    kind = file.of_type("tokenizer.ggml.model", str)
    if kind not in ("gpt2", "llama"):
        raise file.fault("tokenizer.ggml.model", "gpt2 (byte-level BPE) or llama (SentencePiece)")
    if kind == "gpt2" and file.of_type("tokenizer.ggml.pre", str, "") not in _SPLITS:
        raise file.fault("tokenizer.ggml.pre", f"one of {', '.join(_SPLITS)}")
    return kind == "llama"


def specials(file: Gguf) -> dict[str, list[str | int]]:
    """The ids of start, end, padding and unknown token, the first to be believed first; several may end a text."""
    ids = {
        key: [file.values.get(f"tokenizer.ggml.{name}_token_id") for name in names] for key, names in _SPECIAL.items()
    }
    return {key: [token_id for token_id in found if type(token_id) is int] for key, found in ids.items()}


def chat_template(file: Gguf) -> tuple[Any, dict[str, str]]:
    """The chat template, None if there is none, and the texts of the special tokens that it may use."""
    texts = {}
    for key, names in _SPECIAL.items():
        number = file.values.get(f"tokenizer.ggml.{names[0]}_token_id")
        if type(number) is int and number < len(_tokens(file)):
            texts[key] = _tokens(file)[number]
    return file.values.get("tokenizer.chat_template"), texts


def pipeline(file: Gguf) -> dict[str, Any]:
    """The content of the tokenizer.json that a byte-level BPE tokenizer was converted from.

    Raises:
        ConfigError: its vocabulary is damaged.
    """
    pre, tokens, types = file.values["tokenizer.ggml.pre"], _tokens(file), _types(file)
    split = _SPLITS[pre]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": split is None}
    steps = [{"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}] if split else []
    if pre in _SINGLE_DIGITS:
        steps = [{"type": "Digits", "individual_digits": True}]
    added = [
        {
            "id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": kind == _CONTROL,
        }
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (_CONTROL, _USER_DEFINED)
    ]  # fmt: skip
    # Models have more rows than tokens; the converter fills the vocabulary up with unused ones.
    vocabulary = {token: number for number, token in enumerate(tokens) if types[number] != _UNUSED}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "NFC"} if pre in _NORMALIZED else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*steps, byte_level]},
        "post_processor": _start(file, tokens), "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": pre in _WHOLE_WORDS, "vocab": vocabulary,
            "merges": _texts(file, "tokenizer.ggml.merges"),
        },
    }  # fmt: skip


def sentencepiece_model(file: Gguf) -> bytes:
    """The SentencePiece model, a serialised proto, that the vocabulary was converted from.

    Raises:
        ConfigError: its vocabulary is damaged.
    """
    proto: Any = require("sentencepiece.sentencepiece_model_pb2", "gguf")
    tokens, types = _tokens(file), _types(file)
    scores = file.of_type("tokenizer.ggml.scores", list)
    if len(scores) != len(tokens) or not all(isinstance(score, float) for score in scores):
        raise file.fault("tokenizer.ggml.scores", f"a number for each of {len(tokens)} tokens")
    model = proto.ModelProto()
    for token, kind, score in zip(tokens, types, scores, strict=True):
        model.pieces.add(piece=token, type=kind, score=score)
    model.trainer_spec.model_type = proto.TrainerSpec.BPE
    model.trainer_spec.vocab_size = len(tokens)
    model.trainer_spec.byte_fallback = True
    for name in ("unk", "bos", "eos"):  # what the library looks up by name
        number = file.values.get(f"tokenizer.ggml.{'unknown' if name == 'unk' else name}_token_id")
        if type(number) is int and number < len(tokens):
            setattr(model.trainer_spec, f"{name}_id", number)
            setattr(model.trainer_spec, f"{name}_piece", tokens[number])
    normalizer = model.normalizer_spec
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = file.of_type("tokenizer.ggml.add_space_prefix", bool, True)
    normalizer.remove_extra_whitespaces = file.of_type("tokenizer.ggml.remove_extra_whitespaces", bool, False)
    normalizer.escape_whitespaces = True
    return bytes(model.SerializeToString())


def _start(file: Gguf, tokens: Sequence[str]) -> dict[str, Any] | None:
    """The post-processor that puts the start token before a text, if the model wants it."""
    number = file.values.get("tokenizer.ggml.bos_token_id")
    wanted = file.of_type("tokenizer.ggml.add_bos_token", bool, False)
    if not wanted or type(number) is not int or number >= len(tokens):
        return None
    token = tokens[number]
    start, one, two = (
        {"SpecialToken": {"id": token, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 0}},
    )
    return {
        "type": "TemplateProcessing", "single": [start, one], "pair": [start, one, two],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]}},
    }  # fmt: skip


def _tokens(file: Gguf) -> list[str]:
    tokens = _texts(file, "tokenizer.ggml.tokens")
    if not tokens or len(set(tokens)) != len(tokens):
        raise ConfigError(
            f"model.path: {file.path}: tokenizer.ggml.tokens: found {len(tokens)} tokens, {len(set(tokens))} different "
            f"ones, expected a vocabulary; {_FOLDER}"
        )
    return tokens


def _types(file: Gguf) -> list[int]:
    """The type of each token: 1 normal, 2 unknown, 3 control, 4 defined by the user, 5 unused, 6 a byte."""
    types, count = file.of_type("tokenizer.ggml.token_type", list), len(_tokens(file))
    if len(types) != count or not all(type(kind) is int and 1 <= kind <= 6 for kind in types):
        raise ConfigError(
            f"model.path: {file.path}: tokenizer.ggml.token_type: found {len(types)} types {sorted(set(types))[:8]}, "
            f"expected a number from 1 to 6 for each of {count} tokens; {_FOLDER}"
        )
    return types


def _texts(file: Gguf, key: str) -> list[str]:
    texts = file.of_type(key, list)
    if not all(isinstance(text, str) for text in texts):
        raise file.fault(key, "a list of texts")
    return texts
