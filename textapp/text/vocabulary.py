"""Takes the pieces out of a vocabulary that nobody's texts have; ids stay dense and in their order.

What a piece is made of stays with it: the merges of BPE that lead to it, and characters and bytes, into which text that
was never seen falls apart. So a text whose pieces all stay has the same pieces as before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from textapp.errors import require
from textapp.text.huggingface import HuggingFaceTokenizer
from textapp.text.sentencepiece import SentencePieceTokenizer
from textapp.text.template import Template
from textapp.text.tokenizer import Tokenizer

_CONTINUES = "##"  # marks a piece of WordPiece inside a word
_NORMAL, _BPE = 1, 2  # of SentencePiece's proto: the kind of most pieces, and the kind of model
_SPECIAL_IDS = ("unk_id", "bos_id", "eos_id", "pad_id")

Rank = Callable[[str, str], float | None]


def cut_vocabulary(
    tokenizer: Tokenizer, used: Collection[int], keep_characters: bool = True
) -> tuple[Tokenizer, list[int]]:
    """A tokenizer with the pieces that are used, and those that are needed to make them.

    Args:
        tokenizer: of any kind.
        used: ids that have to stay; special tokens stay anyway.
        keep_characters: pieces of one character stay, too. Without them a character that no piece in `used` needs
            becomes bytes, or unknown.

    Returns:
        The tokenizer, and of each of its ids the id before.

    Example: of a WordPiece vocabulary with `[PAD] [UNK] a ##b ab abc` and `used` the id of `ab`, `abc` goes.
    """
    special = {tokenizer.pad_id, tokenizer.unknown_id, tokenizer.start_id, tokenizer.end_id, *tokenizer.other_end_ids}
    template = tokenizer.template
    special |= {*template.start, *template.middle, *template.end}
    wanted = {token_id for token_id in (*used, *special) if token_id >= 0}
    if isinstance(tokenizer, SentencePieceTokenizer):
        return _cut_sentencepiece(tokenizer, wanted, keep_characters)
    assert isinstance(tokenizer, HuggingFaceTokenizer)
    return _cut_pipeline(tokenizer, wanted, keep_characters)


def _with_extras(made: Tokenizer, tokenizer: Tokenizer, new: Mapping[int, int]) -> Tokenizer:
    """With what the constructors do not take."""
    made.other_end_ids = [new[token_id] for token_id in tokenizer.other_end_ids]
    made.chat_template = tokenizer.chat_template
    return made


def _cut_sentencepiece(
    tokenizer: SentencePieceTokenizer, wanted: set[int], keep_characters: bool
) -> tuple[Tokenizer, list[int]]:
    messages: Any = require("sentencepiece.sentencepiece_model_pb2", "train")
    proto = messages.ModelProto()
    proto.ParseFromString(tokenizer.model)
    pieces = [piece.piece for piece in proto.pieces]
    kept = {token_id for token_id, piece in enumerate(proto.pieces) if piece.type != _NORMAL}
    kept |= wanted & set(range(len(pieces)))
    if proto.trainer_spec.model_type == _BPE:
        scores = {piece.piece: piece.score for piece in proto.pieces}
        kept |= _needed(dict(enumerate(pieces)), kept, lambda one, other: _negative(scores.get(one + other)))
    if keep_characters:
        kept |= {token_id for token_id, piece in enumerate(pieces) if len(piece) == 1}
    before = sorted(kept)
    new = {old: number for number, old in enumerate(before)}
    for token_id in reversed(range(len(pieces))):
        if token_id not in new:
            del proto.pieces[token_id]
    proto.trainer_spec.vocab_size = len(before)
    for name in _SPECIAL_IDS:
        number = getattr(proto.trainer_spec, name)
        setattr(proto.trainer_spec, name, new.get(number, -1))
    made = SentencePieceTokenizer(
        proto.SerializeToString(), tokenizer.kind, tokenizer.cleaning, _renumbered(tokenizer.template, new),
        new.get(tokenizer.pad_id, tokenizer.pad_id), new[tokenizer.start_id], new[tokenizer.end_id],
    )  # fmt: skip
    return _with_extras(made, tokenizer, new), before


def _negative(score: float | None) -> float | None:
    return None if score is None else -score


def _cut_pipeline(
    tokenizer: HuggingFaceTokenizer, wanted: set[int], keep_characters: bool
) -> tuple[Tokenizer, list[int]]:
    content = json.loads(tokenizer.pipeline)
    model, added = content["model"], content.get("added_tokens") or []
    vocabulary = _vocabulary(model)
    kept = wanted | {token["id"] for token in added}
    if model["type"] == "BPE":
        merges = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
        ranks = {merge: rank for rank, merge in enumerate(merges)}
        pieces = {token_id: piece for piece, token_id in vocabulary.items()}
        kept |= _needed(pieces, kept & set(pieces), lambda one, other: ranks.get((one, other)))
    if keep_characters:
        kept |= {token_id for piece, token_id in vocabulary.items() if len(piece.removeprefix(_CONTINUES)) == 1}
    if model.get("byte_fallback"):
        kept |= {token_id for piece, token_id in vocabulary.items() if len(piece) == 6 and piece.startswith("<0x")}
    known = {*vocabulary.values(), *(token["id"] for token in added)}
    before = sorted(kept & known)
    new = {old: number for number, old in enumerate(before)}
    if model["type"] == "Unigram":
        model["vocab"] = [row for old, row in enumerate(model["vocab"]) if old in new]
        if model.get("unk_id") is not None:
            model["unk_id"] = new[model["unk_id"]]
    else:
        model["vocab"] = {piece: new[old] for piece, old in vocabulary.items() if old in new}
    if model["type"] == "BPE":
        left = model["vocab"]
        model["merges"] = [[one, other] for one, other in merges if {one, other, one + other} <= left.keys()]
    for token in added:
        token["id"] = new[token["id"]]
    _renumber_processor(content.get("post_processor"), new)
    made = HuggingFaceTokenizer(
        json.dumps(content, ensure_ascii=False), tokenizer.kind, tokenizer.cleaning,
        _renumbered(tokenizer.template, new), new[tokenizer.pad_id], new[tokenizer.unknown_id],
        new[tokenizer.start_id], new[tokenizer.end_id],
    )  # fmt: skip
    return _with_extras(made, tokenizer, new), before


def _vocabulary(model: Mapping[str, Any]) -> dict[str, int]:
    if model["type"] == "Unigram":
        return {piece: token_id for token_id, (piece, _) in enumerate(model["vocab"])}
    return dict(model["vocab"])


def _needed(pieces: Mapping[int, str], kept: Iterable[int], rank: Rank) -> set[int]:
    """The ids of all pieces that BPE passes through on the way to some.

    A piece is merged from its characters in the same order as inside a word, as no merge goes across its ends.

    Args:
        pieces: id -> piece.
        kept: the ids to reach.
        rank: of the merge of two pieces, the smallest first; None if they are not merged.
    """
    numbers = {piece: token_id for token_id, piece in pieces.items()}
    found: set[int] = set()
    for token_id in kept:
        parts = list(pieces[token_id])
        while True:
            found |= {numbers[part] for part in parts if part in numbers}
            pairs = [(rank(*pair), place) for place, pair in enumerate(zip(parts, parts[1:], strict=False))]
            best = min(((value, place) for value, place in pairs if value is not None), default=None)
            if best is None:
                break
            place = best[1]
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return found


def _renumbered(template: Template, new: Mapping[int, int]) -> Template:
    start, middle, end = (
        tuple(new[token_id] for token_id in part) for part in (template.start, template.middle, template.end)
    )
    return Template(start, middle, end, second_segment=template.second_segment)


def _renumber_processor(processor: dict[str, Any] | None, new: Mapping[int, int]) -> None:
    """Changes the ids in a post-processor, which textapp does not use, but the package checks."""
    if processor is None:
        return
    for inner in processor.get("processors", ()):
        _renumber_processor(inner, new)
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = [new[token_id] for token_id in token["ids"]]
    for name in ("sep", "cls"):
        if name in processor:
            processor[name][1] = new[processor[name][1]]
