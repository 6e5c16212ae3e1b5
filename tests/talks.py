"""Tokenizers and tiny presets with chat templates, and conversations for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKS = ["<|im_start|>", "<|im_end|>"]


def talk(*texts: str, system: str | None = None) -> list[dict[str, str]]:
    """Messages of user and assistant in turn."""
    first = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant") * len(texts)
    return [*first, *({"role": role, "content": text} for role, text in zip(roles, texts, strict=False))]


def write_lines(file: Path, rows: Sequence[Any]) -> Path:
    """A row of JSON on each line."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def write_words(folder: Path, template: str | None = CHATML, end: str = MARKS[1]) -> Path:
    """A tiny Llama with a word for each token and ChatML's special tokens.

    Args:
        folder: is created.
        template: its chat template; None: it has none.
        end: the token that ends a text.
    """
    import published  # which writes by a package that a device has not
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    published.write("llama", folder)
    words = ["system", "user", "assistant", *(f"w{number}" for number in range(55)), *MARKS]
    pipeline = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="w0"))
    pipeline.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pipeline.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS])
    pipeline.save(str(folder / "tokenizer.json"))
    names = {"bos_token": MARKS[0], "eos_token": end, "pad_token": end, "unk_token": "w0"}
    if template is not None:
        names["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")
    return folder


def write_bytes(folder: Path, template: str = CHATML, merges: Sequence[tuple[str, str]] = ()) -> Path:
    """A published tokenizer of bytes with ChatML's special tokens.

    Args:
        folder: is created.
        template: its chat template.
        merges: pairs of pieces that are one token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir(exist_ok=True)
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(one + other for one, other in merges)]
    pipeline = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, list(merges)))
    pipeline.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pipeline.decoder = decoders.ByteLevel()
    pipeline.add_special_tokens(["<s>", "</s>", *MARKS])
    pipeline.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")
    return folder
