"""Files for LiteRT-LM: the names of their signatures, and a runner that decodes by them as LiteRT-LM does.

`prefill_<tokens>` reads so many tokens of a prompt, `decode` one token. Both take `tokens` `[1, tokens]`, `input_pos`
`[tokens]` and the caches `kv_cache_k_<layer>|kv_cache_v_<layer>`, and return the caches; `decode` also the `logits`
`[1, 1, vocabulary]` of the next token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from textapp.decoding.greedy import argmax_token, walk
from textapp.decoding.logits import Rules
from textapp.decoding.signatures import CACHE, DECODE, GENERATE, PREFILL, lengths_of, prefill_name
from textapp.decoding.steps import LOGITS, open_session
from textapp.runners.edge import EdgeBuffers, EdgeRunner
from textapp.runners.runner import KV_CACHE as KV_CACHE
from textapp.runners.tenancy import Tenant

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
        ids = _ids_of(features)
        if signature.startswith(GENERATE):
            return self._generate(ids, lengths_of(signature)[1])
        cache = self._empty
        for name, part in self._parts(ids):
            cache = self._runner.run(name, {**part, **cache})
        return self._decode(ids[-1:], np.array([len(ids) - 1], np.int32), cache)

    def run_in_place(
        self, signature: str, features: Mapping[str, np.ndarray], tenant: Tenant
    ) -> dict[str, np.ndarray] | None:
        """Reads a prompt; see `EdgeRunner.run_in_place`."""
        ids = _ids_of(features)
        parts = [*self._parts(ids), (DECODE, _tokens(ids[-1:], len(ids) - 1))]
        memories = [self._runner.buffers(name) for name, _ in parts]
        decode = memories[-1]
        if decode is None or not all(each and _share(each, decode) for each in memories):
            return None
        with decode.lock:
            decode.tenancy.take(tenant)
            for name in self._empty:
                decode.inputs[name].fill(0)
            for memory, (_, part) in zip(memories, parts, strict=True):
                assert memory is not None
                for name, values in part.items():
                    memory.inputs[name][...] = values
                memory.invoke()
            return {LOGITS: decode.outputs[LOGITS][:, 0].copy()}

    def buffers(self, signature: str) -> EdgeBuffers | None:
        """The memory of `decode` under textapp's names; see `EdgeRunner.buffers`."""
        own = self._runner.buffers(signature)
        if own is None:
            return None
        tokens = {"token_id": own.inputs["tokens"][0], "position": own.inputs["input_pos"]}
        logits = {LOGITS: own.outputs[LOGITS][:, 0]}
        return EdgeBuffers(
            tokens | from_kv(own.inputs), logits | from_kv(own.outputs), own.invoke, own.lock, own.tenancy
        )

    def generate(self, ids: Sequence[int] | np.ndarray, new: int) -> list[Step]:
        """Generates greedily.

        Args:
            ids: of the prompt, with its start token.
            new: maximum number of new tokens.
        """
        features = {"token_ids": np.asarray(ids, np.int32)[None], "num_tokens": np.array([len(ids)], np.int32)}
        session = open_session(self, PREFILL, features, len(ids))
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

    def _parts(self, ids: np.ndarray) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """The signatures that read a prompt but for its last token, and their inputs without the caches."""
        start = 0
        while (left := len(ids) - 1 - start) > 0:
            length = next((each for each in self._lengths if each >= left), self._lengths[-1])
            count = min(left, length)
            yield prefill_name(length), _tokens(ids[start : start + count], start, length)
            start += count

    def _decode(
        self, token_id: np.ndarray, position: np.ndarray, cache: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        outputs = self._runner.run(DECODE, {"tokens": token_id[None], "input_pos": position, **cache})
        return {LOGITS: outputs[LOGITS][:, 0], **from_kv(outputs)}


def _ids_of(features: Mapping[str, np.ndarray]) -> np.ndarray:
    return features["token_ids"][0, : int(features["num_tokens"][0])]


def _tokens(ids: np.ndarray, start: int, length: int = 1) -> dict[str, np.ndarray]:
    """The inputs of a signature that reads so many tokens, from a position on; padding is 0."""
    tokens, positions = np.zeros((1, length), np.int32), np.zeros(length, np.int32)
    tokens[0, : len(ids)], positions[: len(ids)] = ids, np.arange(start, start + len(ids))
    return {"tokens": tokens, "input_pos": positions}


def _share(buffers: EdgeBuffers, others: EdgeBuffers) -> bool:
    """Whether two signatures read and write the same caches."""
    name = next(name for name in others.inputs if name.startswith(KV_CACHE))
    cache = others.inputs[name]
    return np.shares_memory(buffers.inputs[name], cache) and np.shares_memory(buffers.outputs[name], cache)


def _cache_of(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in features.items() if name.startswith(CACHE)}
