"""Real examples in the shape of an exported model's inputs, to calibrate it and to check its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textapp.arrays import spread, truncated_and_padded
from textapp.batches.pipeline import TOKENS

MOST_VERIFIED = 500
LEAST_PER_SIGNATURE = 200
MOST_CALIBRATED = 200


@dataclass(frozen=True)
class Examples:
    """Inputs made from records.

    Attributes:
        records: the records.
        inputs: signature -> input name -> `[examples, length]` int32, padded; `num_tokens` `[examples]`.
        owners: signature -> indices of the records that a predictor sends there: the first rows of its inputs. Rows
            after these belong to other records, cut or padded, so that a rarely used signature is also tried.
    """

    records: list[Mapping[str, Any]]
    inputs: dict[str, dict[str, np.ndarray]]
    owners: dict[str, list[int]]

    def own_inputs(self) -> dict[str, dict[str, np.ndarray]]:
        """The inputs without the rows that were only made to try a signature."""
        return {
            signature: {name: rows[: len(self.owners[signature])] for name, rows in named.items()}
            for signature, named in self.inputs.items()
            if self.owners[signature]
        }


def make_examples(
    task: Any,
    records: Sequence[Mapping[str, Any]],
    least: int = LEAST_PER_SIGNATURE,
    signatures: Sequence[tuple[str, int]] | None = None,
    counted: bool = False,
) -> Examples:
    """Features of records, sorted into the signatures of the task.

    Args:
        task: gives `features(record)`, `signature(num_tokens)`, `lengths` and `tokenizer.pad_id`.
        records: real examples.
        least: rows that each signature gets where there are as many records.
        signatures: name and input length of each; None: one for each of the task's lengths.
        counted: `num_tokens` is an input too.
    """
    signatures = signatures or [task.signature(length) for length in task.lengths]
    features = [task.features(record) for record in records]
    owners: dict[str, list[int]] = {name: [] for name, _ in signatures}
    for index, feature in enumerate(features):
        owners[task.signature(len(feature["token_ids"]))[0]].append(index)
    inputs = {}
    for name, length in signatures:
        mine = set(owners[name])
        others = [index for index in range(len(records)) if index not in mine]
        chosen = owners[name] + spread(others, max(0, least - len(mine)))
        inputs[name] = _arrays([features[index] for index in chosen], length, task.tokenizer.pad_id, counted)
    return Examples(list(records), inputs, owners)


def _arrays(
    features: Sequence[Mapping[str, list[int]]], length: int, pad_id: int, counted: bool
) -> dict[str, np.ndarray]:
    arrays = {
        name: truncated_and_padded([feature[name] for feature in features], length, pad_id if name == TOKENS else 0)
        for name in features[0]
    }
    if counted:
        counts = [min(len(feature[TOKENS]), length) for feature in features]
        arrays["num_tokens"] = np.array(counts, np.int32)
    return arrays


def verification_and_calibration(records: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Records to check answers with, and records to calibrate with: other ones, where there are enough."""
    verified = spread(range(len(records)), MOST_VERIFIED)
    rest = sorted(set(range(len(records))) - set(verified))
    calibrated = spread(rest if len(rest) >= MOST_CALIBRATED else range(len(records)), MOST_CALIBRATED)
    return [records[index] for index in verified], [records[index] for index in calibrated]
