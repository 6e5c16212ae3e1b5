"""Real examples in the shape of an exported model's inputs, to calibrate it and to check its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from textapp.arrays import spread
from textapp.predictors.requests import Features, Request, stacked
from textapp.runners.inputs import Inputs
from textapp.runners.runner import Outputs
from textapp.tasks.task import Record, Task

MAX_VERIFIED = 500
MIN_PER_SIGNATURE = 200
MAX_CALIBRATED = 200


@dataclass(frozen=True)
class Examples:
    """Inputs made from records.

    Attributes:
        records: the records.
        requests: of all records, in their order.
        owners: the record, by number, of each request.
        inputs: signature -> input name -> `[examples, length]` int32, padded, or `[examples]`.
        rows: signature -> the requests, by number, that a predictor sends there: the first rows of its inputs. Rows
            after these belong to other requests, truncated or padded, so that a rarely used signature is also tried.
    """

    records: list[Record]
    requests: list[Request]
    owners: list[int]
    inputs: Inputs
    rows: dict[str, list[int]]

    def own_inputs(self) -> Inputs:
        """The inputs without the rows that were only made to try a signature."""
        return {
            signature: {name: values[: len(self.rows[signature])] for name, values in named.items()}
            for signature, named in self.inputs.items()
            if self.rows[signature]
        }

    def place(self, index: int) -> tuple[str, int]:
        """The signature that serves the first request of a record, and its row among the inputs there."""
        request = self.owners.index(index)
        return next((name, rows.index(request)) for name, rows in self.rows.items() if request in rows)

    def outputs_of(self, outputs: Mapping[str, Outputs]) -> list[list[Outputs]]:
        """The outputs of each record's requests, of the outputs of each signature."""
        rows: list[Outputs] = [{}] * len(self.requests)
        for signature, requests in self.rows.items():
            for row, request in enumerate(requests):
                rows[request] = {name: values[row] for name, values in outputs[signature].items()}
        gathered: list[list[Outputs]] = [[] for _ in self.records]
        for owner, output in zip(self.owners, rows, strict=True):
            gathered[owner].append(output)
        return gathered


def make_examples(task: Task, records: Sequence[Record], min_rows: int = MIN_PER_SIGNATURE) -> Examples:
    """Requests of records, sorted into the signatures of the task.

    Args:
        task: of the run.
        records: real examples.
        min_rows: rows that each signature gets where there are as many requests.
    """
    requests, owners = [], []
    for owner, record in enumerate(records):
        own = task.requests(record)
        requests += own
        owners += [owner] * len(own)
    rows: dict[str, list[int]] = {name: [] for name, _ in task.signatures}
    for index, request in enumerate(requests):
        rows[request.signature].append(index)
    inputs = {}
    for name, length in task.signatures:
        mine = set(rows[name])
        others = [index for index in range(len(requests)) if index not in mine]
        chosen = rows[name] + spread(others, max(0, min_rows - len(mine)))
        features = [_truncated(requests[index].features, length) for index in chosen]
        inputs[name] = stacked(features, length, task.tokenizer.pad_id)
    return Examples(list(records), requests, owners, inputs, rows)


def _truncated(features: Features, length: int) -> Features:
    return {name: value[:length] if isinstance(value, list) else min(value, length) for name, value in features.items()}


def verification_and_calibration(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Records to check answers with, and records to calibrate with: other ones, where there are enough."""
    verified = spread(range(len(records)), MAX_VERIFIED)
    rest = sorted(set(range(len(records))) - set(verified))
    calibrated = spread(rest if len(rest) >= MAX_CALIBRATED else range(len(records)), MAX_CALIBRATED)
    return [records[index] for index in verified], [records[index] for index in calibrated]


def concatenated(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The outputs of several calls as those of one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
