"""Batches of a maximum number of tokens, in buckets chosen by the data. Decides the order alone: no tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

MAX_BUCKETS, MAX_PROGRAMS = 48, 12  # of open shapes, and of static ones, as each of these is compiled on its own
LEAST_SAVED, LEAST_SAVED_BY_PROGRAM = 0.125, 0.25  # of a batch: the padding that such a bucket has to save
MAX_KINDS = 1024  # of examples by their lengths, which buckets are made of
ROWS_MULTIPLE = 8  # of the rows of static shapes: a register of a TPU holds 8 of them, whatever the length
_NEVER = np.iinfo(np.int64).max


class TokenBuckets(NamedTuple):
    """The buckets of a data set; all batches of one have the same lengths.

    Attributes:
        lengths: for each feature int32 `[buckets]`, the length that its rows are padded to.
        steps: int32 `[buckets]`, the batches of each.
        rows: int32 `[buckets]`, of each batch, with those that only fill it; None: batches are not filled, and those of
            a bucket differ by one row.
        members: int16 `[examples]`, the bucket of each example.
        useful: share of the tokens of an epoch that are neither padding nor in rows that fill, 0 to 1.
    """

    lengths: dict[str, np.ndarray]
    steps: np.ndarray
    rows: np.ndarray | None
    members: np.ndarray
    useful: float

    @property
    def shapes(self) -> int:
        """The number of different shapes of batches."""
        several = 0 if self.rows is not None else np.count_nonzero(np.bincount(self.members) % self.steps)
        return len(self.steps) + int(several)


class TokenPlan(NamedTuple):
    """The global order of one epoch.

    Attributes:
        lengths: for each feature int32 `[steps]`, the length that the rows of each batch are padded to.
        indices: int32 `[examples]`; batch `i` is `indices[offsets[i]:offsets[i + 1]]`.
        offsets: int32 `[steps + 1]`.
        rows: int32 `[steps]`, of each batch, with those that only fill it.
    """

    lengths: dict[str, np.ndarray]
    indices: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray

    @property
    def steps(self) -> int:
        """Batches of the epoch."""
        return len(self.offsets) - 1

    @property
    def examples(self) -> int:
        """Examples of the epoch."""
        return len(self.indices)

    @property
    def shapes(self) -> np.ndarray:
        """See `Plan`."""
        return np.unique([self.rows, *self.lengths.values()], axis=1, return_inverse=True)[1].ravel()


def token_buckets(
    counts: Mapping[str, np.ndarray],
    batch_tokens: int | None,
    batch_size: int,
    max_lengths: Mapping[str, int] | None = None,
    static_shapes: bool = False,
) -> TokenBuckets:
    """Chooses buckets by the lengths of the examples, those of all features together.

    Each feature has its own length in a bucket, that of its longest example there. Buckets are merged from examples of
    equal lengths, see `_merged`, until they are few, and each saves enough padding. A bucket has as few batches as
    `batch_tokens` allow, with equal numbers of examples. Equal arguments give equal buckets, on every machine.

    Args:
        counts: for each feature int `[examples]`, the tokens of each example.
        batch_tokens: tokens of a batch at most, of its longest feature, padding included, but for a batch of one row;
            None: a batch has at most `batch_size` rows.
        batch_size: rows of a batch, without `batch_tokens`.
        max_lengths: maximum length of each feature, to which longer examples are truncated; None: no limit.
        static_shapes: all batches of a bucket have one shape, for a compiler that makes a program for each: there are
            fewer buckets, and rows are filled up.

    Example: counts `{"token_ids": [3, 20, 3, 20]}` and 20 tokens give three batches without padding: two rows of 3
        tokens, and two batches of a row of 20.
    """
    lengths = np.stack([np.maximum(1, np.asarray(numbers)) for numbers in counts.values()])  # [features, examples]
    if max_lengths is not None:
        lengths = np.minimum(lengths, [[max_lengths[name]] for name in counts])
    kinds, of_kinds = _kinds(lengths)
    limit, whole = (batch_size, len(kinds)) if batch_tokens is None else (batch_tokens, int(lengths.max(axis=0).sum()))
    buckets, saved = (MAX_PROGRAMS, LEAST_SAVED_BY_PROGRAM) if static_shapes else (MAX_BUCKETS, LEAST_SAVED)
    found = _merged(of_kinds, np.bincount(kinds), buckets, int(saved * int(lengths.sum()) * limit / whole))
    members = found[kinds].astype(np.int16)
    tops, examples = _longest(of_kinds, found), np.bincount(members)
    most = np.full_like(examples, limit) if batch_tokens is None else np.maximum(1, limit // tops.max(axis=0))
    steps, rows, used = -(-examples // most), None, examples
    if static_shapes:
        rows = np.array([_rows(int(n), int(limit)) for n, limit in zip(examples, most, strict=True)], np.int32)
        steps = -(-examples // rows)
        used = steps * rows
    return TokenBuckets(
        dict(zip(counts, tops.astype(np.int32), strict=True)),
        steps.astype(np.int32),
        rows,
        members,
        float(lengths.sum() / (used * tops.sum(axis=0)).sum()),
    )


def bucket_lengths(counts: np.ndarray, batch_size: int, static_shapes: bool = False) -> list[int]:
    """The lengths that batches of a number of rows are padded to, ascending; see `token_buckets`.

    Args:
        counts: int `[examples]`, the tokens of each example.
        batch_size: rows of a batch.
        static_shapes: for a compiler that makes a program for each length.

    Example: counts `[3, 20, 3, 20]` and batches of two rows give the lengths 3 and 20.
    """
    return sorted(token_buckets({"": counts}, None, batch_size, static_shapes=static_shapes).lengths[""].tolist())


def _kinds(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Examples of equal lengths, or of about equal ones where there are more than `MAX_KINDS`.

    Args:
        lengths: int `[features, examples]`.

    Returns:
        the kind of each example, int `[examples]`, and the longest of each feature among them, `[features, kinds]`.
    """
    firsts, kinds = _equal(lengths)
    distinct, step = lengths[:, firsts], 1
    rough, members = firsts, np.arange(len(firsts))
    while len(rough) > MAX_KINDS:
        step += 1
        rough, members = _equal(-(-distinct // step))
    return members[kinds], _longest(distinct, members)


def _equal(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of each group of equal columns, and the group of each column."""
    numbers = np.ravel_multi_index(tuple(lengths), tuple(lengths.max(axis=1) + 1))
    return np.unique(numbers, return_index=True, return_inverse=True)[1:]


def _longest(lengths: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The longest of each feature in each group, `[features, groups]`; `members` are the groups of the columns."""
    tops = np.zeros((len(lengths), members.max() + 1), np.int64)
    for of_feature, numbers in zip(tops, lengths, strict=True):
        np.maximum.at(of_feature, members, numbers)
    return tops


def _merged(lengths: np.ndarray, sizes: np.ndarray, most: int, saved: int) -> np.ndarray:
    """Merges kinds of examples into buckets: again and again the two that need the least padding for it.

    It is agglomerative clustering (Ward, 1963), with the tokens of padding for a distance. At the end each kind goes to
    the shortest bucket that holds it.

    Args:
        lengths: int `[features, kinds]`.
        sizes: int `[kinds]`, the examples of each.
        most: buckets at most.
        saved: tokens of padding that a bucket saves at least.

    Returns:
        the bucket of each kind, int `[kinds]`.
    """
    tops, sizes, left = lengths.copy(), sizes.copy(), np.ones(len(sizes), bool)

    def padding(one: int) -> np.ndarray:
        """Tokens of merging a bucket with each other one."""
        joined = np.maximum(tops[:, [one]], tops).sum(axis=0)
        tokens = sizes[one] * (joined - tops[:, one].sum()) + sizes * (joined - tops.sum(axis=0))
        return np.where(left & (np.arange(len(sizes)) != one), tokens, _NEVER)

    costs = np.stack([padding(one) for one in range(len(sizes))])
    for buckets in range(len(sizes), 1, -1):
        one, other = divmod(int(costs.argmin()), len(sizes))
        if buckets <= most and costs[one, other] > saved:
            break
        tops[:, one], sizes[one] = np.maximum(tops[:, one], tops[:, other]), sizes[one] + sizes[other]
        left[other], costs[other], costs[:, other] = False, _NEVER, _NEVER
        costs[one] = costs[:, one] = padding(one)
    tops = tops[:, left]
    holds = (lengths[:, :, None] <= tops[:, None, :]).all(axis=0)
    shortest = np.where(holds, tops.sum(axis=0), _NEVER).argmin(axis=1)
    return np.unique(shortest, return_inverse=True)[1]


def _rows(examples: int, most: int) -> int:
    """The rows of the batches of a bucket: at most `most`, and about so many, with few that fill the batches.

    Example: 140 examples in at most 136 rows are two batches of 72 rows, not of 136.
    """
    multiple = min(ROWS_MULTIPLE, 1 << (most.bit_length() - 1))
    fewest = -(-examples // (most // multiple * multiple))
    choices = [-(-examples // (batches * multiple)) * multiple for batches in range(fewest, fewest + fewest // 8 + 1)]
    return min(choices, key=lambda rows: -(-examples // rows) * rows)


def token_plan(buckets: TokenBuckets, seed: int, epoch: int) -> TokenPlan:
    """Shuffles the examples of each bucket, and the batches of all.

    Every epoch has the same number of steps. Equal arguments give an equal plan, on every machine.

    Args:
        buckets: of the data set.
        seed, epoch: determine the order.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(buckets.members))
    order = order[np.argsort(buckets.members[order], kind="stable")]
    ends = np.cumsum(np.bincount(buckets.members))
    cuts = [
        start + np.arange(steps) * (end - start) // steps
        for start, end, steps in zip([0, *ends], ends, buckets.steps.tolist(), strict=False)
    ]
    offsets = np.concatenate([*cuts, ends[-1:]])
    batches = generator.permutation(len(offsets) - 1)
    numbers, sizes = np.repeat(np.arange(len(ends)), buckets.steps)[batches], np.diff(offsets)[batches]
    return TokenPlan(
        {name: lengths[numbers] for name, lengths in buckets.lengths.items()},
        np.concatenate([order[offsets[i] : offsets[i + 1]] for i in batches]).astype(np.int32),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
        (sizes if buckets.rows is None else buckets.rows[numbers]).astype(np.int32),
    )
