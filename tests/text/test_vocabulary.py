"""The pieces that texts do not need leave a vocabulary, and the texts keep theirs."""

import json

import pytest

from textapp.text.huggingface import HuggingFaceTokenizer
from textapp.text.template import Template
from textapp.text.tokenizer import load_tokenizer
from textapp.text.training import train_tokenizer
from textapp.text.vocabulary import cut_vocabulary

WORDS = [
    "lower",
    "lowest",
    "newer",
    "newest",
    "wider",
    "widest",
    "slower",
    "slowest",
    "wonder",
    "yonder",
    "天气",
    "今天",
]
TEXTS = [f"{one} {other}" for one in WORDS for other in WORDS]
OF_PRESETS = ("byte-level", "unigram", "published")
OWN = ["the newest and slowest", "今天 lower", "wonder"]


def pipeline(model, added=()):
    """A tokenizer.json with the special tokens `[PAD]` and `[UNK]`."""
    import tokenizers
    from tokenizers import pre_tokenizers

    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["[PAD]", "[UNK]", *added])
    return made.to_str()


def trained(kind):
    """A tokenizer trained on `TEXTS`, of textapp's own kinds or of those that presets have."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    if kind not in OF_PRESETS:
        return train_tokenizer(kind, 90, TEXTS, (), "en")
    if kind == "byte-level":
        made = tokenizers.Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=360, special_tokens=["[PAD]", "[UNK]"], initial_alphabet=alphabet, show_progress=False
        )
    elif kind == "unigram":
        made = tokenizers.Tokenizer(models.Unigram())
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=60, special_tokens=["[PAD]", "[UNK]"], unk_token="[UNK]", show_progress=False
        )
    else:
        made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.pre_tokenizer, made.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    made.train_from_iterator(TEXTS, trainer)
    return HuggingFaceTokenizer(made.to_str(), "preset", (), Template((0,), (1,), (1,)), 0, 1, 0, 1)


def check_same(before, after, old, texts):
    for text in texts:
        assert [old[token_id] for token_id in after.ids(text)] == before.ids(text), text
        assert after.encode(text).offsets == before.encode(text).offsets


@pytest.mark.parametrize("kind", ["sentencepiece", "bpe", "characters", "wordpiece", *OF_PRESETS])
def test_the_texts_keep_their_pieces(kind, tmp_path):
    before = trained(kind)
    used = {token_id for text in OWN for token_id in before.ids(text)}

    after, old = cut_vocabulary(before, used)

    assert after.vocabulary_size == len(old) < before.vocabulary_size or kind == "characters"
    check_same(before, after, old, OWN)
    pieces = before.pieces()
    assert after.pieces() == [pieces[token_id] for token_id in old]
    assert (old[after.pad_id], old[after.unknown_id], old[after.end_id]) == (
        before.pad_id, before.unknown_id, before.end_id,
    )  # fmt: skip
    assert tuple(old[token_id] for token_id in after.template.middle) == before.template.middle
    after.save(tmp_path / "tokenizer")
    check_same(before, load_tokenizer(tmp_path / "tokenizer"), old, OWN)


@pytest.mark.parametrize("kind", ["sentencepiece", "bpe", "wordpiece", *OF_PRESETS])
def test_text_that_was_never_seen_falls_apart_into_smaller_pieces(kind):
    before = trained(kind)

    after, _ = cut_vocabulary(before, before.ids("lower"))

    ids = after.ids("yonder widest")
    assert len(ids) > len(before.ids("yonder widest"))
    assert after.unknown_id not in ids
    assert after.decode(ids) == before.decode(before.ids("yonder widest"))


def test_without_characters_an_unseen_one_is_unknown():
    from tokenizers import models

    vocabulary = {piece: number for number, piece in enumerate(["[PAD]", "[UNK]", "a", "##b", "ab", "abc", "z"])}
    before = HuggingFaceTokenizer(
        pipeline(models.WordPiece(vocabulary, unk_token="[UNK]")), "preset", (), Template(), 0, 1, 0, 0
    )

    with_characters, old = cut_vocabulary(before, [4])
    assert with_characters.pieces() == ["[PAD]", "[UNK]", "a", "##b", "ab", "z"]
    assert old == [0, 1, 2, 3, 4, 6]
    without, old = cut_vocabulary(before, [4], keep_characters=False)
    assert old == [0, 1, 4]
    assert without.ids("ab z") == [2, 1]


def test_of_bpe_the_pieces_on_the_way_stay():
    from tokenizers import models

    pieces = ["[PAD]", "[UNK]", "a", "b", "c", "d", "ab", "cd", "abcd", "bc", "dd"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    merges = [("a", "b"), ("c", "d"), ("ab", "cd"), ("b", "c"), ("d", "d")]
    before = HuggingFaceTokenizer(pipeline(models.BPE(vocabulary, merges)), "preset", (), Template(), 0, 1, 0, 0)

    after, old = cut_vocabulary(before, before.ids("abcd"))

    assert after.pieces() == ["[PAD]", "[UNK]", "a", "b", "c", "d", "ab", "cd", "abcd"]
    assert json.loads(after.pipeline)["model"]["merges"] == [["a", "b"], ["c", "d"], ["ab", "cd"]]
    assert [old[token_id] for token_id in after.ids("abcdd")] == [8, 5]


def test_ids_of_a_post_processor_are_those_of_the_new_vocabulary():
    import tokenizers
    from tokenizers import models
    from tokenizers.processors import TemplateProcessing

    vocabulary = {piece: number for number, piece in enumerate(["[PAD]", "never", "[UNK]", "a", "[SEP]"])}
    made = tokenizers.Tokenizer.from_str(pipeline(models.WordPiece(vocabulary, unk_token="[UNK]"), ["[SEP]"]))
    made.post_processor = TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 4)])
    before = HuggingFaceTokenizer(made.to_str(), "preset", (), Template(end=(4,)), 0, 2, 4, 4)

    after, old = cut_vocabulary(before, [3])

    assert old == [0, 2, 3, 4]
    assert after.template.end == (3,)
    assert tokenizers.Tokenizer.from_str(after.pipeline).encode("a").ids == [2, 3]
