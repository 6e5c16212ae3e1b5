"""Initialises a bag of tokens and n-grams as a naive Bayes classifier, which training then improves.

In long texts most n-grams are too rare to be learned in a few epochs, and a linear model over their log-count ratios is
hard to beat (Wang and Manning, 2012). The ratios become the initial values of the tables, and the logits read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from textapp.layers import NgramEmbedding, TokenEmbedding
from textapp.layers.ngrams import batches_by_length, distinct_keys

STRENGTH = 0.3  # factor of the ratios: with 1 the model is certain from the start and learns less (docs/results.md)

Bag = TokenEmbedding | NgramEmbedding


def begin_as_naive_bayes(model: keras.Model, token_ids: Sequence[np.ndarray], targets: np.ndarray, pad_id: int) -> None:
    """Sets the tables and the logits of a classifier without layers between them.

    Args:
        model: with an `encoder` of a `TokenEmbedding` and optionally an `NgramEmbedding`, and a Dense layer `logits`.
        token_ids: of each training text as the model reads it, without padding.
        targets: `[examples]` int, or for multi-label `[examples, labels]` of 0 and 1.
        pad_id: the padding id.
    """
    logits = model.get_layer("logits")
    labels = np.eye(logits.units)[targets] if targets.ndim == 1 else targets
    tables = [layer for layer in model.get_layer("encoder").layers if isinstance(layer, Bag)]
    ratios = [
        log_count_ratios(_rows_of_texts(layer, token_ids, labels, pad_id), layer.embeddings.shape[0])
        for layer in tables
    ]
    # If there are more labels than features: keep the directions in which the ratios differ most.
    _, directions = np.linalg.eigh(sum(ratio.T @ ratio for ratio in ratios))
    directions = directions[:, ::-1][:, : logits.kernel.shape[0]]
    features = directions.shape[1]
    for layer, ratio in zip(tables, ratios, strict=True):
        table = keras.ops.convert_to_numpy(layer.embeddings).copy()
        table[:, :features] = STRENGTH * ratio @ directions
        layer.embeddings.assign(table)
    kernel = 0.1 * keras.ops.convert_to_numpy(logits.kernel)
    kernel[:features] += directions.T
    logits.kernel.assign(kernel)


def log_count_ratios(rows_and_labels: Iterator[tuple[np.ndarray, np.ndarray]], num_rows: int) -> np.ndarray:
    """The log-count ratio of each row for each label: `[num_rows, labels]` float64, 0 if unseen.

    Args:
        rows_and_labels: rows `[n]`, each once per text, and the labels `[n, labels]`, 0 or 1, of their texts.
        num_rows: rows of the table.

    Example: row 2 occurs in three of the texts with the label and in one of the others, row 1 in one of the others:
        with one added to each count, the ratio of row 2 is log(4 / 5) - log(2 / 4) = 0.47.
    """
    counts, total = 0.0, 0.0
    for rows, labels in rows_and_labels:
        columns = [np.bincount(rows, weights=column, minlength=num_rows) for column in labels.T]
        counts = counts + np.stack(columns, axis=1)
        total = total + np.bincount(rows, minlength=num_rows)
    seen = total > 0
    inside, outside = counts[seen] + 1, total[seen, None] - counts[seen] + 1
    ratios = np.zeros(counts.shape)
    ratios[seen] = np.log(inside / inside.sum(axis=0)) - np.log(outside / outside.sum(axis=0))
    return ratios


def _rows_of_texts(
    layer: Bag, token_ids: Sequence[np.ndarray], labels: np.ndarray, pad_id: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows of a table that each text reads, once each, with its labels, in batches of similar length."""
    for chosen, ids in batches_by_length(token_ids, pad_id):
        read = [(ids, ids != pad_id)] if isinstance(layer, TokenEmbedding) else layer.read(ids)
        texts, rows = distinct_keys(read)
        yield rows, labels[chosen[texts]]
