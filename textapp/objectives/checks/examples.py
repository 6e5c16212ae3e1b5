"""Real examples as inputs of an exported model, for calibration and verification."""

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
        requests: of all records, in order.
        owners: index of the record of each request.
        inputs: signature -> input name -> `[examples, length]` int32, padded, or `[examples]`.
        rows: signature -> indices of the requests that it serves: the first rows of its inputs. Further rows are
            other requests, truncated or padded, so that rarely used signatures are tested too.
    """

    records: list[Record]
    requests: list[Request]
    owners: list[int]
    inputs: Inputs
    rows: dict[str, list[int]]

    def own_inputs(self) -> Inputs:
        """The inputs without rows of requests that another signature serves."""
        return {
            signature: {name: values[: len(self.rows[signature])] for name, values in named.items()}
            for signature, named in self.inputs.items()
            if self.rows[signature]
        }

    def locate(self, index: int) -> tuple[str, int]:
        """The signature that serves the first request of a record, and its row in the inputs."""
        request = self.owners.index(index)
        return next((name, rows.index(request)) for name, rows in self.rows.items() if request in rows)

    def outputs_of(self, outputs: Mapping[str, Outputs]) -> list[list[Outputs]]:
        """Gathers the outputs of the requests of each record from the outputs of each signature."""
        rows: list[Outputs] = [{}] * len(self.requests)
        for signature, requests in self.rows.items():
            for row, request in enumerate(requests):
                rows[request] = {name: values[row] for name, values in outputs[signature].items()}
        gathered: list[list[Outputs]] = [[] for _ in self.records]
        for owner, output in zip(self.owners, rows, strict=True):
            gathered[owner].append(output)
        return gathered


def make_examples(task: Task, records: Sequence[Record], min_rows: int = MIN_PER_SIGNATURE) -> Examples:
    """Makes inputs for the signatures of a task from records.

    Args:
        task: of the run.
        records: real examples.
        min_rows: rows for each signature, if there are as many requests.
    """
    requests, owners = [], []
    for owner, record in enumerate(records):
        of_record = task.requests(record)
        requests += of_record
        owners += [owner] * len(of_record)
    rows: dict[str, list[int]] = {name: [] for name, _ in task.signatures}
    for index, request in enumerate(requests):
        rows[request.signature].append(index)
    inputs = {}
    for name, length in task.signatures:
        served = set(rows[name])
        others = [index for index in range(len(requests)) if index not in served]
        chosen = rows[name] + spread(others, max(0, min_rows - len(served)))
        features = [_truncated(requests[index].features, length) for index in chosen]
        inputs[name] = stacked(features, length, task.tokenizer.pad_id)
    return Examples(list(records), requests, owners, inputs, rows)


def _truncated(features: Features, length: int) -> Features:
    return {name: value[:length] if isinstance(value, list) else min(value, length) for name, value in features.items()}


def verification_and_calibration(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Records for verification and for calibration; different ones, if there are enough."""
    verified = spread(range(len(records)), MAX_VERIFIED)
    rest = sorted(set(range(len(records))) - set(verified))
    calibrated = spread(rest if len(rest) >= MAX_CALIBRATED else range(len(records)), MAX_CALIBRATED)
    return [records[index] for index in verified], [records[index] for index in calibrated]


def concatenated(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Concatenates the outputs of several calls."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
