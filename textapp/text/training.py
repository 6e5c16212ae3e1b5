"""Trains a tokenizer on texts: SentencePiece models, and WordPiece by the package `tokenizers`.

Padding is 0, unknown 1, start 2, end 3. A vocabulary larger than the texts can fill comes out smaller.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from textapp.errors import DataError
from textapp.languages import logographic
from textapp.text.cleaning import check_steps, clean_text
from textapp.text.language import east_asian_share, guess_language
from textapp.text.tokenizer import (
    END_ID,
    PAD_ID,
    START_ID,
    UNKNOWN_ID,
    SentencePieceTokenizer,
    Template,
    Tokenizer,
    TokenizersTokenizer,
    python_steps,
    without_surrogates,
)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")

_MODEL_TYPES = {"sentencepiece": "unigram", "bpe": "bpe", "characters": "char"}
# A single text gets no special tokens; the end id parts the two texts of a pair.
_TEMPLATE = Template(middle=(END_ID,))
_MOST_LINES = 500_000
# SentencePiece skips lines over 4,192 bytes; a thousand characters are 4,000 at most.
_LINE_CHARACTERS = 1000
# 256 pieces stand for the bytes of what the vocabulary lacks: a small one has better uses for them.
_BYTES = 256
_LEAST_WITH_BYTES = 2 * _BYTES
# What SentencePiece has to keep of a text, by what the ids are for. A text that is only read may lose what says
# little; one that is written must come back as it was. To translate, the first word of a sentence gets the mark that
# words have behind a space, so that it is the same token; to continue, it does not: the text of two lists of ids is
# then the text of both together.
PURPOSES = ("read", "translate", "continue")
# Sums of floats depend on the number of threads, so the same texts give the same model only with a fixed one.
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
    """Makes a tokenizer for texts. The same texts and the same seed give the same tokenizer.

    Args:
        kind: `sentencepiece` (the unigram model), `bpe`, `characters` or `wordpiece`.
        vocabulary_size: most tokens, the four special ones included.
        texts: the training texts, as they are; the cleaning steps run here.
        cleaning: names out of `cleaning.STEPS`, kept with the tokenizer.
        language: `en`, `zh`, ...; None: told from the script.
        seed: picks the lines where there are more than 500,000.
        purpose: `read` where texts are classified; `translate` or `continue` where ids become text again: then ids
            keep line ends, spaces and, as bytes, characters that the vocabulary lacks, if it has 512 tokens or more.

    Raises:
        ValueError: the kind, a cleaning step or the purpose is unknown.
        DataError: no text has a character left after cleaning.

    Example:
        tokenizer = train_tokenizer("sentencepiece", 8000, ["A good film.", ...], ["nfkc", "lowercase"], "en")
        tokenizer.ids("A good film.")
    """
    steps = check_steps(cleaning)
    if kind not in (*_MODEL_TYPES, "wordpiece"):
        raise ValueError(f"unknown kind of tokenizer {kind!r}; expected {', '.join(_MODEL_TYPES)} or wordpiece")
    if purpose not in PURPOSES:
        raise ValueError(f"unknown purpose of a tokenizer {purpose!r}; expected one of {', '.join(PURPOSES)}")
    lines = [line for text in texts for line in _lines(clean_text(without_surrogates(text), steps))]
    if not lines:
        raise DataError("no text to train a tokenizer on: every text is empty, or empty after cleaning")
    if kind == "wordpiece":
        return _train_wordpiece(vocabulary_size, lines, steps)
    options = {**_options(lines, steps, language or guess_language(lines)), **_kept(purpose, vocabulary_size, lines)}
    model = _train_sentencepiece(kind, vocabulary_size, lines, options, seed)
    return SentencePieceTokenizer(model, kind, steps, _TEMPLATE)


def _lines(text: str) -> Iterator[str]:
    """Short lines without NUL, which ends a text for SentencePiece's trainer."""
    for line in text.replace("\0", " ").splitlines():
        for start in range(0, len(line), _LINE_CHARACTERS):
            if part := line[start : start + _LINE_CHARACTERS].strip():
                yield part


def _options(lines: list[str], steps: tuple[str, ...], language: str) -> dict[str, Any]:
    """What SentencePiece's trainer makes of texts that are only read."""
    return {
        # One character in 2,000 of a script with thousands of them is not worth a token of its own.
        "character_coverage": 0.9995 if east_asian_share(lines) > 0.05 else 1.0,
        "normalization_rule_name": _normaliser(steps),
        "remove_extra_whitespaces": "whitespace" in steps,
        # Chinese and Japanese have no spaces: a mark for the start of a word would cost a token in every text.
        "add_dummy_prefix": not logographic(language),
    }


def _kept(purpose: str, vocabulary_size: int, lines: list[str]) -> dict[str, Any]:
    """What else it needs to know where ids become text again."""
    if purpose == "read":
        return {}
    options: dict[str, Any] = {"user_defined_symbols": ["\n"]}
    if purpose == "continue":
        options["add_dummy_prefix"] = False
    if vocabulary_size >= _LEAST_WITH_BYTES:
        options["byte_fallback"] = True
        # Some characters must be left to the bytes, or training would never show what these are for.
        options["character_coverage"] = 0.9995 if east_asian_share(lines) > 0.05 else 0.9999
    return options


def _train_sentencepiece(
    kind: str, vocabulary_size: int, lines: list[str], options: dict[str, Any], seed: int
) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    options = {
        **options,
        "model_type": _MODEL_TYPES[kind],
        "vocab_size": vocabulary_size,
        "hard_vocab_limit": False,
        "pad_id": PAD_ID, "unk_id": UNKNOWN_ID, "bos_id": START_ID, "eos_id": END_ID,
        "input_sentence_size": _MOST_LINES,
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
    """The normalisation rule of SentencePiece. `nmt_` also drops control characters; `cf` is case folding."""
    if python_steps(steps) == tuple(steps):
        return "identity"
    return "nmt_nfkc_cf" if "lowercase" in steps else "nmt_nfkc"


def _frequent_characters(lines: list[str], most: int) -> list[str]:
    """Drops all but the most frequent characters, for a vocabulary that cannot hold the alphabet of the texts."""
    counts = Counter(character for line in lines for character in line)
    rare = {ord(character): None for character, _ in counts.most_common()[most:] if character != " "}
    return [left for line in lines if (left := line.translate(rare).strip())]


def _train_wordpiece(vocabulary_size: int, lines: list[str], steps: tuple[str, ...]) -> TokenizersTokenizer:
    """WordPiece as in BERT (Devlin et al., 2019), case and accents left to the cleaning steps."""
    from tokenizers import Tokenizer, models, trainers

    pipeline = _wordpiece_pipeline(Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS[UNKNOWN_ID])))
    counts = Counter(character for line in lines for character in line if not character.isspace())
    alphabet = sorted(character for character, _ in counts.most_common(max(1, vocabulary_size // 4)))
    # The trainer numbers "##a" in the order of a hash table that differs from run to run, and breaks ties by number.
    # Named among the special tokens these get fixed ids; the pipeline that is kept does not know them as special.
    inner = [f"##{character}" for character in alphabet if _stands_inside_words(pipeline, character)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL_TOKENS, *inner],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    pipeline.train_from_iterator(lines, trainer)
    model = models.WordPiece(pipeline.get_vocab(), unk_token=SPECIAL_TOKENS[UNKNOWN_ID])
    kept = _wordpiece_pipeline(Tokenizer(model))
    kept.add_special_tokens(list(SPECIAL_TOKENS))
    return TokenizersTokenizer(kept.to_str(), "wordpiece", steps, _TEMPLATE, PAD_ID, UNKNOWN_ID)


def _wordpiece_pipeline(pipeline: Any) -> Any:
    """Gives a `tokenizers.Tokenizer` BERT's rules for words: spaces, punctuation, each Chinese character alone."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    pipeline.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    pipeline.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pipeline.decoder = decoders.WordPiece()
    return pipeline


def _stands_inside_words(pipeline: Any, character: str) -> bool:
    """Whether a word can go on with this character; punctuation and Chinese characters are words by themselves."""
    words = pipeline.pre_tokenizer.pre_tokenize_str(pipeline.normalizer.normalize_str(f"a{character}"))
    return len(words) == 1 and len(words[0][0]) == 2
