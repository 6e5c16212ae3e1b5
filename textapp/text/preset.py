"""Converts the tokenizer of a pretrained checkpoint to one that runs without the checkpoint's own framework.

Reads folders in Hugging Face layout and in KerasHub layout, and GGUF files; a preset name is loaded by KerasHub once,
for training.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.artifact import CHAT_TEMPLATE
from textapp.errors import ConfigError, require
from textapp.text import preset_gguf
from textapp.text.chat import TOKENS, ChatTemplate, template_fault
from textapp.text.huggingface import HuggingFaceTokenizer
from textapp.text.preset_files import DOWNLOAD, check_file, check_folder, is_name, read_json, read_text
from textapp.text.preset_gguf import SPLIT_PATTERN
from textapp.text.sentencepiece import SentencePieceTokenizer
from textapp.text.template import Template
from textapp.text.tokenizer import Tokenizer

SUPPORTED = (
    "supported: a Hugging Face folder with tokenizer.json, vocab.txt (BERT), vocab.json and merges.txt (GPT-2, "
    "RoBERTa, BART, OPT, Qwen), tokenizer.model (Llama, Mistral, Gemma) or spiece.model (T5, mT5); a KerasHub folder "
    "with files of WordPiece (BERT, DistilBERT, ELECTRA), byte-level BPE (RoBERTa, GPT-2, BART, OPT, Llama 3, Qwen) or "
    "SentencePiece (ALBERT, DeBERTa-v3, F-Net, T5, Llama, Mistral, Gemma); a GGUF file of a Llama or Qwen; the name of "
    "such a KerasHub preset"
)

_ASSETS = Path("assets/tokenizer")
_CONFIG = "tokenizer_config.json"
_TOKENIZER = "tokenizer.json"
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")
_BERT_SETTINGS = {
    "do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"
}  # fmt: skip
# What people can do about a tokenizer that is not read: the package transformers writes the one form that always is.
_CONVERT = (
    "write tokenizer.json with the package transformers: "
    "AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER)"
)
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
# Of published folders without tokenizer.json: the models and classes whose files give the published ids. Others do more
# in Python, as RoBERTa's many-language sibling, which counts ids differently, or ALBERT, which drops accents.
_FACE_BYTE_LEVEL = ("gpt2", "roberta", "bart", "opt", "qwen2", "qwen3", "longformer", "led")
_FACE_SENTENCEPIECE = ("llama", "codellama", "mistral", "gemma", "t5", "mt5")
_FACE_WORDPIECE = ("bert", "distilbert", "electra", "mobilebert")
# How byte-level BPE splits a text before merging, by KerasHub class; others split as GPT-2 does. The classes differ in
# how many digits stay together.
_SPLIT_PATTERNS = {
    "Llama3Tokenizer": SPLIT_PATTERN % "{1,3}",
    "SmolLM3Tokenizer": SPLIT_PATTERN % "{1,3}",
    "QwenTokenizer": SPLIT_PATTERN % "",
    "Qwen3Tokenizer": SPLIT_PATTERN % "",
}


def preset_tokenizer(path: str | Path) -> Tokenizer:
    """Reads the tokenizer of a pretrained checkpoint.

    Args:
        path: a folder in Hugging Face or KerasHub layout, a GGUF file, or the name of a KerasHub preset
            (`bert_tiny_en_uncased`).

    Returns:
        A tokenizer of kind `preset`, without cleaning steps: the checkpoint's own rules clean the text. It gives the
        same ids as the package `tokenizers`.

    Raises:
        ConfigError: the folder or preset does not exist, or its kind of tokenizer is not supported.
        UsageError: the package that reads it is not installed.
    """
    folder = Path(path)
    gguf = preset_gguf.read_gguf(folder) if preset_gguf.is_gguf(folder) else None
    try:
        if gguf is not None:
            return _with_chat_template(_from_gguf(gguf), *preset_gguf.chat_template(gguf), folder)
        if folder.exists():
            check_folder(folder)
            return _with_chat_template(_from_folder(folder), *_published_chat_template(folder), folder)
        if is_name(str(path)):
            return _from_name(str(path))
    except ConfigError:
        raise
    except Exception as error:  # the package tokenizers raises bare ones
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"model.path: {path}: its tokenizer cannot be read: {reason}; {SUPPORTED}") from error
    raise ConfigError(f"model.path: {path}: no such folder; {SUPPORTED}")


def _from_name(name: str) -> Tokenizer:
    """Lets KerasHub download a preset's tokenizer, and reads the files that it saves."""
    keras_hub = require("keras_hub", "train")
    with tempfile.TemporaryDirectory() as folder:
        keras_hub.models.Tokenizer.from_preset(name).save_to_preset(folder)
        return _from_folder(Path(folder))


def _from_folder(folder: Path) -> Tokenizer:
    settings = read_json(folder / _TOKENIZER)
    if "model" in settings:
        return _with_decoder_start(_from_pipeline(folder), folder)
    if "class_name" in settings:
        return _from_keras_hub(folder / _ASSETS, settings)
    if settings:
        raise ConfigError(f"model.path: {folder / _TOKENIZER}: found no tokenizer (no key 'model'): {DOWNLOAD}")
    config = read_json(folder / _CONFIG)
    if (folder / "vocab.txt").is_file():
        _check_kind(folder, config, _FACE_WORDPIECE)
        vocabulary = _read_vocabulary(folder / "vocab.txt")
        # A vocabulary without capitals belongs to an uncased model.
        uncased = all(word == word.lower() for word in vocabulary if not re.fullmatch(r"\[.+\]", word))
        lowercase = config.get("do_lower_case", uncased)
        chinese = config.get("tokenize_chinese_chars", True)
        return _wordpiece(vocabulary, lowercase, config.get("strip_accents"), chinese, _specials(folder))
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        kind = _check_kind(folder, config, _FACE_BYTE_LEVEL)
        pattern = _SPLIT_PATTERNS["QwenTokenizer"] if kind.startswith("qwen") else None
        tokenizer = _byte_level_bpe(
            folder / "vocab.json", folder / "merges.txt", bool(config.get("add_prefix_space")), _specials(folder),
            pattern, _added_tokens(folder, config),
        )  # fmt: skip
        return _with_decoder_start(tokenizer, folder)
    for name in ("tokenizer.model", "spiece.model"):
        if (folder / name).is_file():
            _check_kind(folder, config, _FACE_SENTENCEPIECE, required=name == "spiece.model")
            check_file(folder / name)
            return _with_decoder_start(_sentencepiece((folder / name).read_bytes(), _specials(folder)), folder)
    files = ", ".join(sorted(file.name for file in folder.iterdir())[:10]) or "nothing"
    mend = f"; {_CONVERT}" if (folder / _CONFIG).is_file() or (folder / "config.json").is_file() else ""
    raise ConfigError(f"model.path: {folder}: no tokenizer that textapp can read (found {files}){mend}; {SUPPORTED}")


def _check_kind(folder: Path, config: Mapping[str, Any], known: Sequence[str], required: bool = False) -> str:
    """The kind of a tokenizer that is not described by a tokenizer.json, such as `bert`; empty if nothing names it.

    Args:
        folder: the published folder.
        config: its tokenizer_config.json.
        known: the kinds whose files give the published ids.
        required: it must be named.

    Raises:
        ConfigError: it is another kind.
    """
    names = [str(config.get("tokenizer_class") or "")]
    names[0] = re.sub(r"Tokenizer(Fast)?$", "", names[0]).lower()
    kind = (
        names[0] if names[0] not in ("", "pretrained") else str(read_json(folder / "config.json").get("model_type", ""))
    )
    if kind in known or not (kind or required):
        return kind
    raise ConfigError(
        f"model.path: {folder}: found a tokenizer without tokenizer.json, its kind {kind or 'not named'}; "
        f"expected one of {', '.join(known)}: {_CONVERT}"
    )


def _added_tokens(folder: Path, config: Mapping[str, Any]) -> dict[int, str]:
    """The tokens beyond a vocabulary, by id, of added_tokens.json and tokenizer_config.json."""
    older = {number: text for text, number in read_json(folder / "added_tokens.json").items()}
    newer = {int(number): _token(token) for number, token in (config.get("added_tokens_decoder") or {}).items()}
    return {**older, **newer}


def _with_decoder_start(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    """Sets the decoder's start token, which Hugging Face's layout keeps in the model's config.json."""
    start_id = read_json(folder / "config.json").get("decoder_start_token_id")
    if start_id is None:
        return tokenizer
    if type(start_id) is not int or not 0 <= start_id < tokenizer.vocabulary_size:
        raise ConfigError(
            f"model.path: {folder / 'config.json'}: decoder_start_token_id: found {start_id!r}, expected the id of a "
            f"token, below {tokenizer.vocabulary_size}: take config and tokenizer from the same model"
        )
    tokenizer.start_id = start_id
    return tokenizer


def _with_chat_template(tokenizer: Tokenizer, source: Any, tokens: Mapping[str, str], path: Path) -> Tokenizer:
    """Gives a tokenizer the chat template of its preset.

    Args:
        tokenizer: of the preset.
        source: of the template; None: it has none.
        tokens: the texts of its special tokens by name.
        path: of the preset, for messages.
    """
    if source is None:
        return tokenizer
    if fault := template_fault(source):
        raise ConfigError(f"model.path: {path}: chat_template: {fault}: download the file again, or remove the key")
    tokenizer.chat_template = ChatTemplate(source, tokens)
    return tokenizer


def _published_chat_template(folder: Path) -> tuple[Any, dict[str, str]]:
    """The chat template of a published folder, None if it has none, and the special tokens that it may use.

    Of several templates by name it is that of `default`; a file of its own comes before a key.
    """
    config = read_json(folder / _CONFIG)
    tokens = {}
    for key in TOKENS:
        named = (_token(read_json(folder / name).get(key)) for name in (_CONFIG, "special_tokens_map.json"))
        if token := next(filter(None, named), ""):
            tokens[key] = token
    file = folder / CHAT_TEMPLATE
    if file.is_file():
        return read_text(file), tokens
    source = read_json(folder / "chat_template.json").get("chat_template") or config.get("chat_template")
    if isinstance(source, list):
        named_sources = {part.get("name"): part.get("template") for part in source if isinstance(part, dict)}
        source = named_sources.get("default")
    return source, tokens


def _specials(folder: Path) -> dict[str, list[str | int]]:
    """What a published folder says of its special tokens: names and ids of each, the first to be believed first.

    The tokenizer's own files come before those of the model. Of several end ids the first one is written, and each ends
    a text.
    """
    found: dict[str, list[Any]] = {key: [] for key in _SPECIAL}
    for name in (_CONFIG, "special_tokens_map.json"):
        content = read_json(folder / name)
        for key in _SPECIAL:
            found[key].append(_token(content.get(key)))
    for name in ("generation_config.json", "config.json"):
        content = read_json(folder / name)
        for key in _SPECIAL:
            value = content.get(f"{key}_id")
            if key == "eos_token" and any(type(known) is int for known in found[key]):
                continue  # generation_config.json is the last word on what ends a text
            found[key] += value if isinstance(value, list) else [value]
    return found


def _from_keras_hub(assets: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """Reads KerasHub's layout: tokenizer.json holds the settings, assets/tokenizer/ the vocabulary."""
    options, name = settings["config"], settings["class_name"]
    named = {key: [token] for key, token in zip(_SPECIAL, _GENERATORS.get(name, ()), strict=False)}
    if (assets / "vocabulary.txt").is_file():
        # KerasHub keeps accents in uncased text by default; the checkpoints were trained without, as in `tokenizers`.
        strip_accents = options.get("strip_accents") or None
        return _wordpiece(
            _read_vocabulary(assets / "vocabulary.txt"), options.get("lowercase", False), strip_accents, True, {}
        )
    if (assets / "vocabulary.json").is_file():
        pattern = options.get("split_pattern") or _SPLIT_PATTERNS.get(name)
        prefix_space = options.get("add_prefix_space", False)
        return _byte_level_bpe(assets / "vocabulary.json", assets / "merges.txt", prefix_space, named, pattern)
    if name in _SENTENCEPIECE:
        return _sentencepiece((assets / "vocabulary.spm").read_bytes(), named)
    raise ConfigError(f"model.path: found the tokenizer {name}, which is not supported; {SUPPORTED}")


def _wordpiece(
    vocabulary: Sequence[str],
    lowercase: bool,
    strip_accents: bool | None,
    chinese: bool,
    specials: Mapping[str, Sequence[str | int]],
) -> Tokenizer:
    """WordPiece (Schuster and Nakajima, 2012), as BERT splits; `chinese`: each Chinese character is a word."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    ids = {word: number for number, word in enumerate(vocabulary)}
    pipeline = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    pipeline.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=chinese
    )
    pipeline.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pipeline.decoder = decoders.WordPiece()
    pipeline.add_special_tokens([word for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if word in ids])
    return _wrapped(pipeline, _template(ids), specials)


def _byte_level_bpe(
    vocabulary: Path,
    merges: Path,
    add_prefix_space: bool,
    specials: Mapping[str, Sequence[str | int]],
    split_pattern: str | None = None,
    added: Mapping[int, str] | None = None,
) -> Tokenizer:
    """Byte-level BPE (Radford et al., 2019), which splits a text by `split_pattern`, or as GPT-2 does."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    check_file(vocabulary)
    check_file(merges)
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
    for number, word in sorted((added or {}).items()):
        if word not in ids:
            pipeline.add_special_tokens([word])
        if pipeline.token_to_id(word) != number:
            raise ConfigError(
                f"model.path: {vocabulary.parent}: found the added token {word!r} with id {number}, expected "
                f"{pipeline.token_to_id(word)}, the next one of the vocabulary: {_CONVERT}"
            )
    return _wrapped(pipeline, _template(pipeline.get_vocab()), specials)


def _sentencepiece(model: bytes, specials: Mapping[str, Sequence[str | int]]) -> Tokenizer:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = {processor.id_to_piece(number): number for number in range(len(processor))}
    pad_id, start_id, end_id = _special_ids(ids, specials)
    template = _template(ids)
    tokenizer = SentencePieceTokenizer(model, "preset", (), template, pad_id=pad_id, start_id=start_id, end_id=end_id)
    tokenizer.other_end_ids = _other_end_ids(specials, end_id, set(ids.values()))
    return tokenizer


def _from_pipeline(folder: Path) -> Tokenizer:
    """Reads Hugging Face's tokenizer.json, which holds the whole pipeline and where its special tokens go."""
    content = read_json(folder / _TOKENIZER)
    _let_config_win(content, read_json(folder / _CONFIG))
    return _from_content(content, folder / _TOKENIZER, _specials(folder))


def _from_gguf(file: preset_gguf.Gguf) -> Tokenizer:
    """Reads the tokenizer of a GGUF file, which holds a vocabulary and names how a text is split."""
    specials = preset_gguf.specials(file)
    if preset_gguf.is_sentencepiece(file):
        return _sentencepiece(preset_gguf.sentencepiece_model(file), specials)
    return _from_content(preset_gguf.pipeline(file), file.path, specials)


def _from_content(content: Mapping[str, Any], file: Path, specials: Mapping[str, Sequence[str | int]]) -> Tokenizer:
    """Makes the tokenizer of a pipeline.

    Args:
        content: of a tokenizer.json.
        file: where it is from.
        specials: names and ids of its special tokens.
    """
    import tokenizers

    try:
        pipeline = tokenizers.Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # a bare one
        raise ConfigError(
            f"model.path: {file}: found a tokenizer that the package tokenizers {tokenizers.__version__} cannot read "
            f"({' '.join(str(error).split())[:200]}): {DOWNLOAD}, or install a newer tokenizers"
        ) from error
    pipeline.no_padding()
    pipeline.no_truncation()
    if getattr(pipeline.model, "dropout", None):
        pipeline.model.dropout = None  # which would draw other ids at each call
    return _wrapped(pipeline, _template_of(pipeline, file), specials)


def _let_config_win(content: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Sets in a tokenizer.json what tokenizer_config.json says otherwise, as the package transformers does."""
    parts = {
        "normalizer": ("BertNormalizer", _BERT_SETTINGS),
        "pre_tokenizer": ("ByteLevel", {"add_prefix_space": "add_prefix_space"}),
    }
    for name, (kind, keys) in parts.items():
        part = content.get(name)
        if isinstance(part, dict) and part.get("type") == kind:
            part |= {ours: config[key] for key, ours in keys.items() if isinstance(config.get(key), bool)}


def _template_of(pipeline: Any, file: Path) -> Template:
    """The special tokens that a pipeline puts around a text and a pair, none if it has no post-processor for them."""
    probe = next((probe for probe in "a0.的" if pipeline.encode(probe, add_special_tokens=False).ids), "a")
    text = pipeline.encode(probe, add_special_tokens=False).ids
    one, pair = pipeline.encode(probe), pipeline.encode(probe, probe)
    first, last = _outside(one.special_tokens_mask)
    start, end = one.ids[:first], one.ids[last:]
    both = pair.ids[first : len(pair.ids) - len(end)]
    middle = both[len(text) : len(both) - len(text)]
    if [*start, *text, *end] != one.ids or [*start, *text, *middle, *text, *end] != pair.ids:
        raise ConfigError(
            f"model.path: {file}: found a post-processor that changes texts or puts other tokens around two texts than "
            "around one, expected special tokens before, between and after texts: take another model"
        )
    return Template(tuple(start), tuple(middle), tuple(end), second_segment=max(pair.type_ids, default=0))


def _outside(mask: Sequence[int]) -> tuple[int, int]:
    """Where the text begins and ends between special tokens, which have 1 in the mask.

    Example: `_outside([1, 0, 0, 1])` is `(1, 3)`.
    """
    places = [place for place, special in enumerate(mask) if not special]
    return (places[0], places[-1] + 1) if places else (len(mask), len(mask))


def _wrapped(pipeline: Any, template: Template, specials: Mapping[str, Sequence[str | int]]) -> Tokenizer:
    ids = pipeline.get_vocab()
    pad_id, start_id, end_id = _special_ids(ids, specials)
    unknown_id = _first(ids, (*specials.get("unk_token", ()), *_UNKNOWN))
    unknown_id = pad_id if unknown_id is None else unknown_id
    tokenizer = HuggingFaceTokenizer(pipeline.to_str(), "preset", (), template, pad_id, unknown_id, start_id, end_id)
    tokenizer.other_end_ids = _other_end_ids(specials, end_id, set(ids.values()))
    return tokenizer


def _other_end_ids(specials: Mapping[str, Sequence[str | int]], end_id: int, known: Collection[int]) -> list[int]:
    """The further ids that end a text: those that the model's own files give.

    Args:
        specials: names and ids of the special tokens.
        end_id: the one that is written.
        known: the ids of the vocabulary.
    """
    given = (token_id for token_id in specials.get("eos_token", ()) if type(token_id) is int)
    return [token_id for token_id in dict.fromkeys(given) if token_id != end_id and token_id in known]


def _special_ids(ids: Mapping[str, int], specials: Mapping[str, Sequence[str | int]]) -> tuple[int, int, int]:
    """The ids of padding, start and end.

    Without a padding token the end token pads: on the right, where no token attends to it.
    """
    named = {key: specials.get(key, ()) for key in _SPECIAL}
    end = _first(ids, (*named["eos_token"], *_ENDS))
    start = _first(ids, (*named["bos_token"], *_BEGINS))
    pad = _first(ids, (*named["pad_token"], *_PAD))
    start, pad = (end if found is None else found for found in (start, pad))
    if pad is None or start is None or end is None:
        names = (name for key in ("eos_token", "pad_token") for name in named[key] if isinstance(name, str))
        expected = ", ".join(dict.fromkeys(filter(None, (*names, *_PAD, *_ENDS))))
        raise ConfigError(f"model.path: its tokenizer has no padding token; expected one of {expected}")
    return pad, start, end


def _first(ids: Mapping[str, int], candidates: Iterable[str | int | None]) -> int | None:
    """The id of the first candidate, a token or an id, that the vocabulary has."""
    known = set(ids.values())
    for candidate in candidates:
        if isinstance(candidate, str) and candidate in ids:
            return ids[candidate]
        if type(candidate) is int and candidate in known:
            return candidate
    return None


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
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""


def _read_vocabulary(file: Path) -> list[str]:
    """One word per line. Splits at line feeds only: `splitlines` would split inside words of BERT vocabularies."""
    return read_text(file).removesuffix("\n").split("\n")
