"""Files for LiteRT-LM: the names of their signatures, and a runner that decodes by them as LiteRT-LM does.

`prefill_<tokens>` reads so many tokens of a prompt, `decode` one token. Both take `tokens` `[1, tokens]`, `input_pos`
`[tokens]` and the caches `kv_cache_k_<layer>|kv_cache_v_<layer>`, and return the caches; `decode` also the `logits`
`[1, 1, vocabulary]` of the next token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from textapp.decoding.greedy import argmax_token, walk
from textapp.decoding.logits import Rules
from textapp.decoding.signatures import CACHE, DECODE, GENERATE, PREFILL, lengths_of, prefill_name
from textapp.decoding.steps import CopySession
from textapp.runners.edge import EdgeRunner

KV_CACHE = "kv_cache_"  # prefix of the name of every cache
Values = TypeVar("Values")


def to_kv(cache: Mapping[str, Values]) -> dict[str, Values]:
    """Caches under LiteRT-LM's names: `to_kv({"cache_0_key": key})` is `{"kv_cache_k_0": key}`."""
    return {
        re.sub(rf"{CACHE}(\d+)_(key|value)", lambda match: f"{KV_CACHE}{match[2][0]}_{match[1]}", name): values
        for name, values in cache.items()
    }


def from_kv(features: Mapping[str, Values]) -> dict[str, Values]:
    """The caches among inputs or outputs, under textapp's names; the reverse of `to_kv`."""
    kinds = {"k": "key", "v": "value"}
    found = {name: re.fullmatch(rf"{KV_CACHE}([kv])_(\d+)", name) for name in features}
    return {f"{CACHE}{match[2]}_{kinds[match[1]]}": features[name] for name, match in found.items() if match}


class Step(NamedTuple):
    """A generated token.

    Attributes:
        token_id: its id.
        log_probability: of the token.
        margin: by how much its logit is above the second best.
    """

    token_id: int
    log_probability: float
    margin: float


class StepRunner:
    """Offers `generate_*`, `prefill_*` and `decode` of a language model over the signatures of a file for LiteRT-LM.

    A prompt is divided as LiteRT-LM divides it: the longest `prefill_<tokens>` as long as it is full, then the shortest
    one that takes the rest; the last token of a prompt is the first that `decode` reads.

    Args:
        runner: of the .tflite file.
        end_ids: tokens that end a text.
        pad_id: fills a text up after its end.
        never_ids: tokens that are never generated.
    """

    max_batch = 1
    shareable = False

    def __init__(self, runner: EdgeRunner, end_ids: Sequence[int], pad_id: int, never_ids: Sequence[int] = ()) -> None:
        self._runner, self._end_ids, self._pad_id, self._never_ids = runner, list(end_ids), pad_id, list(never_ids)
        names = (name for name in runner.signatures if name.startswith(f"{PREFILL}_"))
        self._lengths = sorted(int(name.split("_")[1]) for name in names)
        shapes = runner.shapes[DECODE].inputs
        self._empty = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if name.startswith(KV_CACHE)}

    def clone(self) -> StepRunner:
        """See `Runner`."""
        return StepRunner(self._runner.clone(), self._end_ids, self._pad_id, self._never_ids)

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Runner`."""
        if signature == DECODE:
            return self._decode(features["token_id"], features["position"], to_kv(_cache_of(features)))
        ids = features["token_ids"][0, : int(features["num_tokens"][0])]
        if signature.startswith(GENERATE):
            return self._generate(ids, lengths_of(signature)[1])
        return self._prefill(ids)

    def generate(self, ids: Sequence[int] | np.ndarray, new: int) -> list[Step]:
        """Generates greedily.

        Args:
            ids: of the prompt, with its start token.
            new: maximum number of new tokens.
        """
        read = self._prefill(np.asarray(ids, np.int32))
        session = CopySession(self, read.pop("logits"), read, len(ids))
        rules = Rules(new, self._end_ids[0], never_ids=self._never_ids, other_end_ids=self._end_ids[1:])
        margins: list[float] = []

        def choose(logits: np.ndarray) -> int:
            second, first = np.partition(logits, -2)[-2:]
            margins.append(float(first - second))
            return argmax_token(logits)

        steps = list(walk(session, rules, choose))
        return [Step(*step, margin) for step, margin in zip(steps, margins, strict=True)]

    def _generate(self, ids: np.ndarray, new: int) -> dict[str, np.ndarray]:
        steps = self.generate(ids, new)
        token_ids = np.full((1, new), self._pad_id, np.int32)
        token_ids[0, : len(steps)] = [step.token_id for step in steps]
        score = sum(step.log_probability for step in steps)
        count = np.array([len(steps)], np.int32)
        return {"token_ids": token_ids, "num_tokens": count, "score": np.array([score], np.float32)}

    def _prefill(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        cache, start = self._empty, 0
        while (left := len(ids) - 1 - start) > 0:
            length = next((each for each in self._lengths if each >= left), self._lengths[-1])
            count = min(left, length)
            tokens, positions = np.zeros((1, length), np.int32), np.zeros(length, np.int32)
            tokens[0, :count] = ids[start : start + count]
            positions[:count] = np.arange(start, start + count)
            cache = self._runner.run(prefill_name(length), {"tokens": tokens, "input_pos": positions, **cache})
            start += count
        return self._decode(ids[-1:], np.array([start], np.int32), cache)

    def _decode(
        self, token_id: np.ndarray, position: np.ndarray, cache: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        outputs = self._runner.run(DECODE, {"tokens": token_id[None], "input_pos": position, **cache})
        return {"logits": outputs["logits"][:, 0], **from_kv(outputs)}


def _cache_of(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in features.items() if name.startswith(CACHE)}
