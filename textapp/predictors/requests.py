"""Requests to a model, and how they are batched into calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from textapp.arrays import padded

Features = Mapping[str, Any]  # of one request: lists of unpadded token ids, and numbers
TOKENS = "token_ids"


class Request(NamedTuple):
    """One row of a call.

    Attributes:
        signature: such as `classify_32`.
        length: input tokens of the signature.
        features: the inputs of the row.
    """

    signature: str
    length: int
    features: Features


def stacked(features: Sequence[Features], length: int, pad_id: int) -> dict[str, np.ndarray]:
    """Stacks the features of several rows into the inputs of a signature.

    Args:
        features: of each row; lists have at most `length` items.
        length: of the signature, in tokens.
        pad_id: pads `token_ids`; other lists are padded with 0.

    Returns:
        int32 arrays, `[rows, length]` for lists, `[rows]` for numbers.

    Example: `stacked([{"token_ids": [5], "num_tokens": 1}], 2, 0)` is `{"token_ids": [[5, 0]], "num_tokens": [1]}`.
    """
    arrays = {}
    for name in features[0]:
        rows = [row[name] for row in features]
        if isinstance(rows[0], int):
            arrays[name] = np.array(rows, np.int32)
        else:
            arrays[name] = padded(rows, length, pad_id if name == TOKENS else 0)
    return arrays


def groups(requests: Sequence[Request], max_rows: int, by_length: bool = False) -> list[list[int]]:
    """Groups requests into calls, the longest signature first.

    Args:
        requests: the requests.
        max_rows: maximum number of rows of a call.
        by_length: whether to sort the requests by length, the longest first; else they keep their order.

    Returns:
        The indices of the requests of each group.

    Example: requests with signatures of length 4, 8 and 4 give `[[1], [0, 2]]`.
    """
    order: Sequence[int] = range(len(requests))
    if by_length:
        order = sorted(order, key=lambda index: -len(requests[index].features[TOKENS]))
    members: dict[tuple[str, int], list[int]] = {}
    for index in order:
        members.setdefault(requests[index][:2], []).append(index)
    return [
        indices[start : start + max_rows]
        for _, indices in sorted(members.items(), key=lambda item: -item[0][1])
        for start in range(0, len(indices), max_rows)
    ]
