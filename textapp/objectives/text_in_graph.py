"""From strings to token ids and back inside a TensorFlow graph: TF-Text's SentencePiece, the same as outside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.errors import UsageError, require
from textapp.noise import quiet
from textapp.text.sentencepiece import SentencePieceTokenizer

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer


def check_text_signature(tokenizers: Sequence[Tokenizer], pairs: bool = False) -> None:
    """Refuses the `text` signature for a run whose way from text to ids cannot be a TensorFlow graph.

    Args:
        tokenizers: of the run.
        pairs: the model takes pairs of texts.

    Raises:
        UsageError: with the reason.
    """
    reasons = [reason for tokenizer in tokenizers if (reason := _reason(tokenizer))]
    if pairs:
        reasons.append("it takes pairs of texts")
    if reasons:
        raise UsageError(
            f"this run has no text signature: {reasons[0]}. Export it without: its other signatures take token ids"
        )


def _reason(tokenizer: Tokenizer) -> str:
    if not isinstance(tokenizer, SentencePieceTokenizer):
        return f"its tokenizer is of kind '{tokenizer.kind}'; TensorFlow Text has only SentencePiece's"
    if tokenizer.python_steps:
        return f"its cleaning has {', '.join(tokenizer.python_steps)}, done in Python, which no graph can hold"
    if tokenizer.join([tokenizer.unknown_id], None, 8)[0] != [tokenizer.unknown_id]:
        return "its tokenizer puts special tokens around a text"
    return ""


def sentencepiece(model_path: Path) -> Any:
    """TF-Text's tokenizer of a SentencePiece model: `tokenize` and `detokenize`, ids int32."""
    import tensorflow as tf

    tensorflow_text = require("tensorflow_text", "train")
    content = model_path.read_bytes()
    # Tokenizers of one name are one in a process that loads SavedModels (tensorflow/text, issue 1304): the source's
    # would then write the target, and one SavedModel's that of the next.
    name = f"sentencepiece_{hashlib.sha256(content).hexdigest()[:16]}"
    with quiet():  # SentencePiece tells that no normalisation was asked for
        return tensorflow_text.SentencepieceTokenizer(content, out_type=tf.int32, name=name)


def tokenize_in_graph(model_path: Path, pad_id: int, unknown_id: int) -> tuple[Callable[[Any], Any], Any]:
    """Strings `[batch]` to padded ids `[batch, length]` int32, as the Python tokenizer gives them to a classifier."""
    import tensorflow as tf

    tokenizer = sentencepiece(model_path)

    def ids_of(text: Any) -> Any:
        ids = tokenizer.tokenize(text)
        # A text without a token becomes the unknown token: a model needs something to look at.
        empty = tf.cast(tf.equal(ids.row_lengths(), 0), tf.int64)
        fill = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(empty)], unknown_id), empty)
        return tf.concat([ids, fill], axis=1).to_tensor(default_value=pad_id)

    return ids_of, tokenizer
