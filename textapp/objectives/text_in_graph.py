"""Tokenization and detokenization inside a TensorFlow graph, by TF-Text's SentencePiece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.errors import UsageError, require
from textapp.noise import suppress_stderr
from textapp.text.sentencepiece import SentencePieceTokenizer

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer


def check_text_signature(tokenizers: Sequence[Tokenizer], pairs: bool = False) -> None:
    """Checks that the tokenizers of a run can be part of a TensorFlow graph.

    Args:
        tokenizers: of the run.
        pairs: whether the model takes pairs of texts.

    Raises:
        UsageError: they cannot; with the reason.
    """
    reasons = [reason for tokenizer in tokenizers if (reason := _reason(tokenizer))]
    if pairs:
        reasons.append("it takes pairs of texts")
    if reasons:
        raise UsageError(
            f"this run cannot have a text signature: {reasons[0]}: leave it out; the other signatures take token ids"
        )


def _reason(tokenizer: Tokenizer) -> str:
    if not isinstance(tokenizer, SentencePieceTokenizer):
        return f"its tokenizer is of kind '{tokenizer.kind}'; TensorFlow Text has only SentencePiece's"
    if tokenizer.python_steps:
        return f"its cleaning has {', '.join(tokenizer.python_steps)}, which runs in Python, outside of the graph"
    if tokenizer.join([tokenizer.unknown_id], None, 8)[0] != [tokenizer.unknown_id]:
        return "its tokenizer adds special tokens to a text"
    return ""


def sentencepiece(model_path: Path) -> Any:
    """TF-Text's tokenizer of a SentencePiece model: `tokenize` and `detokenize`, ids int32."""
    import tensorflow as tf

    tensorflow_text = require("tensorflow_text", "train")
    content = model_path.read_bytes()
    # In a process that loads SavedModels, tokenizers of the same name are mixed up (tensorflow/text, issue 1304): those
    # of source and target, and of different SavedModels. So each model gets a name of its own.
    name = f"sentencepiece_{hashlib.sha256(content).hexdigest()[:16]}"
    with suppress_stderr():  # SentencePiece prints that it does no normalisation
        return tensorflow_text.SentencepieceTokenizer(content, out_type=tf.int32, name=name)


def tokenize_in_graph(model_path: Path, pad_id: int, unknown_id: int) -> tuple[Callable[[Any], Any], Any]:
    """Makes the tokenization of a classifier in the graph, with the same ids as in Python.

    Args:
        model_path: the SentencePiece model.
        pad_id: the padding id.
        unknown_id: the only id of a text without tokens.

    Returns:
        A function from strings `[batch]` to padded ids `[batch, length]` int32, and the tokenizer to keep alive.
    """
    import tensorflow as tf

    tokenizer = sentencepiece(model_path)

    def ids_of(text: Any) -> Any:
        ids = tokenizer.tokenize(text)
        # A text without tokens becomes the unknown token, because a model needs some input.
        empty = tf.cast(tf.equal(ids.row_lengths(), 0), tf.int64)
        fill = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(empty)], unknown_id), empty)
        return tf.concat([ids, fill], axis=1).to_tensor(default_value=pad_id)

    return ids_of, tokenizer
