"""Trains a tokenizer on texts: SentencePiece models, and WordPiece with the package `tokenizers`.

The ids of padding, unknown, start and end are 0 to 3. The vocabulary is smaller than asked for if the texts have too
few pieces.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from textapp.errors import DataError
from textapp.languages import logographic
from textapp.text.base import without_surrogates
from textapp.text.cleaning import check_steps, clean_text
from textapp.text.huggingface import HuggingFaceTokenizer
from textapp.text.language import east_asian_share, guess_language
from textapp.text.sentencepiece import SentencePieceTokenizer, python_steps
from textapp.text.template import END_ID, PAD_ID, START_ID, UNKNOWN_ID, Template
from textapp.text.tokenizer import Tokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")

_MODEL_TYPES = {"sentencepiece": "unigram", "bpe": "bpe", "characters": "char"}
# A single text gets no special tokens; the end id separates the two texts of a pair.
_TEMPLATE = Template(middle=(END_ID,))
_MAX_LINES = 500_000
# SentencePiece skips lines over 4,192 bytes; a thousand characters have at most 4,000.
_LINE_CHARACTERS = 1000
# Byte fallback takes 256 pieces, which a small vocabulary needs for other things.
_BYTES = 256
_MIN_WITH_BYTES = 2 * _BYTES
# How much of a text SentencePiece must preserve, by what the ids are for. "read" (classification) may lose details;
# generated text must decode to exactly what was encoded. With "translate" the first word of a sentence gets the mark of
# a word after a space, so that it is the same token anywhere; with "continue" it does not, so that decoding two lists
# of ids and joining the texts gives the text of both lists together.
PURPOSES = ("read", "translate", "continue")
# Float sums depend on the number of threads, so it is fixed to make training reproducible.
_THREADS = 2


def train_tokenizer(
    kind: str,
    vocabulary_size: int,
    texts: Iterable[str],
    cleaning: Sequence[str] = (),
    language: str | None = None,
    seed: int = 7,
    purpose: str = "read",
) -> Tokenizer:
    """Trains a tokenizer. The same texts and the same seed give the same tokenizer.

    Args:
        kind: `sentencepiece` (the unigram model), `bpe`, `characters` or `wordpiece`.
        vocabulary_size: maximum number of tokens, including the four special ones.
        texts: the training texts, not cleaned; the cleaning steps run here. They are read several times, and not kept
            in memory, unless they are an iterator.
        cleaning: names from `cleaning.STEPS`, saved with the tokenizer.
        language: `en`, `zh`, ...; None: guessed from the script.
        seed: seed for sampling lines if there are more than 500,000.
        purpose: `read` for classification; `translate` or `continue` where ids are decoded to text: then the ids keep
            line ends, spaces and, as bytes if the vocabulary has 512 tokens or more, unknown characters.

    Raises:
        ValueError: the kind, a cleaning step or the purpose is unknown.
        DataError: no text has any character after cleaning.

    Example:
        tokenizer = train_tokenizer("sentencepiece", 8000, ["A good film.", ...], ["nfkc", "lowercase"], "en")
        tokenizer.ids("A good film.")
    """
    steps = check_steps(cleaning)
    if kind not in (*_MODEL_TYPES, "wordpiece"):
        raise ValueError(f"unknown kind of tokenizer {kind!r}; expected one of {', '.join(_MODEL_TYPES)}, wordpiece")
    if purpose not in PURPOSES:
        raise ValueError(f"unknown tokenizer purpose {purpose!r}; expected one of {', '.join(PURPOSES)}")
    lines = _Lines(list(texts) if isinstance(texts, Iterator) else texts, steps)
    if next(iter(lines), None) is None:
        raise DataError("no text to train a tokenizer on: every text is empty, or empty after cleaning")
    if kind == "wordpiece":
        return _train_wordpiece(vocabulary_size, lines, steps)
    options = _options(lines, steps, language or guess_language(lines)) | _lossless(purpose, vocabulary_size, lines)
    model = _train_sentencepiece(kind, vocabulary_size, lines, options, seed)
    return SentencePieceTokenizer(model, kind, steps, _TEMPLATE)


class _Lines:
    """The lines of texts after cleaning, made anew each time they are read."""

    def __init__(self, texts: Iterable[str], steps: tuple[str, ...]) -> None:
        self._texts, self._steps = texts, steps

    def __iter__(self) -> Iterator[str]:
        return (line for text in self._texts for line in _lines(clean_text(without_surrogates(text), self._steps)))


def _lines(text: str) -> Iterator[str]:
    """Yields short lines without NUL, which SentencePiece's trainer takes for the end of a text."""
    for line in text.replace("\0", " ").splitlines():
        for start in range(0, len(line), _LINE_CHARACTERS):
            if part := line[start : start + _LINE_CHARACTERS].strip():
                yield part


def _options(lines: Iterable[str], steps: tuple[str, ...], language: str) -> dict[str, Any]:
    """Options of SentencePiece's trainer for texts that are only classified."""
    return {
        # One character in 2,000 of a script with thousands of them is not worth a token of its own.
        "character_coverage": 0.9995 if east_asian_share(lines) > 0.05 else 1.0,
        "normalization_rule_name": _normaliser(steps),
        "remove_extra_whitespaces": "whitespace" in steps,
        # Chinese and Japanese have no spaces: a mark for the start of a word would cost a token in every text.
        "add_dummy_prefix": not logographic(language),
    }


def _lossless(purpose: str, vocabulary_size: int, lines: Iterable[str]) -> dict[str, Any]:
    """Options that make ids decode to the text that was encoded; empty for `read`."""
    if purpose == "read":
        return {}
    options: dict[str, Any] = {"user_defined_symbols": ["\n"]}
    if purpose == "continue":
        options["add_dummy_prefix"] = False
    if vocabulary_size >= _MIN_WITH_BYTES:
        options["byte_fallback"] = True
        # Some characters are left to the bytes on purpose, or the model would never see byte pieces in training.
        options["character_coverage"] = 0.9995 if east_asian_share(lines) > 0.05 else 0.9999
    return options


def _train_sentencepiece(
    kind: str, vocabulary_size: int, lines: Iterable[str], options: dict[str, Any], seed: int
) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    options = {
        **options,
        "model_type": _MODEL_TYPES[kind],
        "vocab_size": vocabulary_size,
        "hard_vocab_limit": False,
        "pad_id": PAD_ID, "unk_id": UNKNOWN_ID, "bos_id": START_ID, "eos_id": END_ID,
        "input_sentence_size": _MAX_LINES,
        "shuffle_input_sentence": True,
        "num_threads": _THREADS,
        "minloglevel": 2,
    }  # fmt: skip
    sentencepiece.set_random_generator_seed(seed)
    try:
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **options)
    except RuntimeError as error:
        if "smaller than required_chars" not in str(error):
            raise
        lines = _frequent_characters(lines, (vocabulary_size - _BYTES * ("byte_fallback" in options)) // 2)
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **options)
    return model.getvalue()


def _normaliser(steps: Sequence[str]) -> str:
    """The name of SentencePiece's normalisation rule. `nmt_` also drops control characters; `cf` is case folding."""
    if python_steps(steps) == tuple(steps):
        return "identity"
    return "nmt_nfkc_cf" if "lowercase" in steps else "nmt_nfkc"


def _frequent_characters(lines: Iterable[str], max_characters: int) -> list[str]:
    """Keeps only the most frequent characters, for a vocabulary that is smaller than the alphabet of the texts."""
    counts = Counter(character for line in lines for character in line)
    rare = {ord(character): None for character, _ in counts.most_common()[max_characters:] if character != " "}
    return [rest for line in lines if (rest := line.translate(rare).strip())]


def _train_wordpiece(vocabulary_size: int, lines: Iterable[str], steps: tuple[str, ...]) -> HuggingFaceTokenizer:
    """WordPiece as in BERT (Devlin et al., 2019); case and accents are left to the cleaning steps."""
    from tokenizers import Tokenizer, models, trainers

    pipeline = _wordpiece_pipeline(Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS[UNKNOWN_ID])))
    counts = Counter(character for line in lines for character in line if not character.isspace())
    alphabet = sorted(character for character, _ in counts.most_common(max(1, vocabulary_size // 4)))
    # The trainer numbers "##a" in the order of a hash table that differs from run to run, and breaks ties by number.
    # Listed as special tokens they get fixed ids; in the pipeline that is returned they are not special.
    inner = [f"##{character}" for character in alphabet if _continues_words(pipeline, character)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL_TOKENS, *inner],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    pipeline.train_from_iterator(lines, trainer)
    model = models.WordPiece(pipeline.get_vocab(), unk_token=SPECIAL_TOKENS[UNKNOWN_ID])
    pipeline = _wordpiece_pipeline(Tokenizer(model))
    pipeline.add_special_tokens(list(SPECIAL_TOKENS))
    return HuggingFaceTokenizer(pipeline.to_str(), "wordpiece", steps, _TEMPLATE, PAD_ID, UNKNOWN_ID)


def _wordpiece_pipeline(pipeline: Any) -> Any:
    """Gives a `tokenizers.Tokenizer` BERT's word splitting: at spaces, punctuation, and each Chinese character."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    pipeline.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    pipeline.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pipeline.decoder = decoders.WordPiece()
    return pipeline


def _continues_words(pipeline: Any, character: str) -> bool:
    """Whether a word can continue with this character; punctuation and Chinese characters are words of their own."""
    words = pipeline.pre_tokenizer.pre_tokenize_str(pipeline.normalizer.normalize_str(f"a{character}"))
    return len(words) == 1 and len(words[0][0]) == 2
