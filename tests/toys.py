"""A tiny model that writes, in NumPy: a Markov chain whose best paths one can compute by hand."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from textapp.runners.tenancy import Tenancy, Tenant
from textapp.text.base import Encoding
from textapp.text.template import Template

PAD, UNKNOWN, START, END = range(4)


class Chain:
    """A translator or a language model for which only the last token counts; it implements the runner's protocol.

    The cache holds what was read, `cache_0_key` `[batch, 1, place, 1]`, and the next logits are taken from that, so a
    cache that is mixed up shows. With `memory` the logit of the source's first token is raised.

    Args:
        logits: `[vocabulary, vocabulary]`: row i those of the token after i.
        places: length of the cache.
        memory: whether it reads a source, as a translator does.
        max_batch: rows of one call.
        score: whether it has the signature `score`.
        mixing: how much of all that was read goes into the logits; 0 for figures computed by hand.
        several: tokens that it reads at once, as a .tflite file may; 1: it has no signature for that.
        extends: tokens of a new turn that it reads at once; 0: it has no signature for that.
    """

    def __init__(
        self,
        logits: np.ndarray,
        places: int = 16,
        memory: bool = True,
        max_batch: int = 1,
        score: bool = False,
        mixing: float = 0.01,
        several: int = 1,
        extends: int = 0,
    ) -> None:
        self.mixing, self.several, self.extends = mixing, several, extends
        self.logits = np.asarray(logits, np.float32)
        self.places, self.memory, self.max_batch = places, memory, max_batch
        self.signatures = ("prefill_4", "prefill_8", "decode", "generate_4_6", "generate_8_10") + ("score",) * score
        self.signatures += (f"decode_{several}",) * (several > 1) + (f"extend_{extends}",) * (extends > 0)
        self.calls: list[tuple[str, int]] = []

    def clone(self) -> Chain:
        score = "score" in self.signatures
        settings = self.places, self.memory, self.max_batch, score, self.mixing, self.several, self.extends
        twin = type(self)(self.logits, *settings)
        twin.calls = self.calls
        return twin

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert signature in self.signatures, signature
        kind, *numbers = signature.split("_")
        rows = len(next(iter(features.values())))
        assert rows <= self.max_batch
        self.calls.append((kind, rows))
        if kind == "prefill":
            assert features["token_ids"].shape[1] == int(numbers[0])
            return self._prefill(features)
        if kind == "decode":
            return self._decode(features)
        if kind == "score":
            return self._score(features)
        return self._generate(features, int(numbers[1]))

    def _prefill(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids = features["token_ids"]
        cache = {"cache_0_key": np.zeros((len(ids), 1, self.places, 1), np.float32)}
        if self.memory:
            cache["cache_0_memory_key"] = ids[:, None, :1, None].astype(np.float32)
            return self._step(np.full(len(ids), START, np.int32), np.zeros(1, np.int32), cache)
        cache["cache_0_key"][:, 0, : ids.shape[1], 0] = ids
        last = features["num_tokens"] - 1
        return self._step(ids[np.arange(len(ids)), last], last, cache)

    def _decode(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        cache = {name: np.array(values) for name, values in features.items() if name.startswith("cache_")}
        return self._step(features["token_id"], features["position"], cache)

    def _step(self, token_id: np.ndarray, position: np.ndarray, cache: dict) -> dict[str, np.ndarray]:
        rows = np.arange(len(token_id))
        position = np.broadcast_to(position, rows.shape)
        cache["cache_0_key"][rows, 0, position, 0] = token_id
        read = cache["cache_0_key"][:, 0, :, 0]
        # All that was read takes part a little, so that a cache of another hypothesis gives other logits.
        seen = np.array([row[: place + 1].sum() for row, place in zip(read, position, strict=True)])
        mixed = self.mixing * np.sin(seen)[:, None] * np.arange(self.logits.shape[1])
        logits = self.logits[read[rows, position].astype(int)] + mixed
        if self.memory:
            first = cache["cache_0_memory_key"][:, 0, 0, 0].astype(int)
            logits[rows, first % logits.shape[1]] += 10 * self.mixing
        return {"logits": logits.astype(np.float32), **cache}

    def _generate(self, features: Mapping[str, np.ndarray], new: int) -> dict[str, np.ndarray]:
        rows = len(features["token_ids"])
        outputs = self._prefill(features)
        position = features["num_tokens"] if not self.memory else np.ones(1, np.int32)
        token_ids, scores = np.full((rows, new), PAD, np.int32), np.zeros(rows, np.float32)
        counts, going = np.zeros(rows, np.int32), np.ones(rows, bool)
        for step in range(new):
            logits = outputs.pop("logits").astype(np.float64)
            best = logits.argmax(axis=1)
            values = logits.max(axis=1) - np.log(np.exp(logits).sum(axis=1))
            token_ids[going, step] = best[going]
            scores[going] += values[going]
            counts += going
            going &= best != END
            if not going.any() or step + 1 == new:
                break
            outputs = self._step(best.astype(np.int32), position + step, outputs)
        return {"token_ids": token_ids, "num_tokens": counts, "score": scores}

    def _score(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        read = features["target_ids"] if self.memory else features["token_ids"]
        rows, length = read.shape
        found = {"log_probability": np.zeros((rows, length), np.float32)}
        found |= {"best": np.zeros((rows, length), np.int32), "gap": np.zeros((rows, length), np.float32)}
        for row in range(rows):
            cache = {"cache_0_key": np.zeros((1, 1, max(length, self.places), 1), np.float32)}
            if self.memory:
                cache["cache_0_memory_key"] = features["token_ids"][row : row + 1, None, :1, None].astype(np.float32)
            for place in range(length):
                outputs = self._step(read[row : row + 1, place], np.array([place]), cache)
                logits = outputs["logits"][0].astype(np.float64)
                target = features["targets"][row, place]
                if target >= 0:
                    found["log_probability"][row, place] = logits[target] - np.log(np.exp(logits).sum())
                    found["best"][row, place] = logits.argmax()
                    found["gap"][row, place] = logits.max() - logits[target]
        return found


class InPlace(Chain):
    """The same chain behind buffers, as a .tflite file has them."""

    def buffers(self, signature: str) -> Buffers:
        assert signature in self.signatures
        if not hasattr(self, "_buffers"):
            self._buffers: dict[str, Buffers] = {}
        if signature not in self._buffers:
            self._buffers[signature] = self._opened(signature)
        return self._buffers[signature]

    def _opened(self, signature: str) -> Buffers:
        if signature == "decode":
            return Buffers(self)
        return SeveralBuffers(self, self.several) if signature.startswith("decode") else TurnBuffers(self, self.extends)


class Shared(InPlace):
    """The same, with one cache for all signatures, as a large .tflite file has."""

    def _opened(self, signature: str) -> Buffers:
        found = super()._opened(signature)
        first = next(iter(self._buffers.values()), found)
        found.tenancy, found.lock = first.tenancy, first.lock
        found.inputs |= {name: values for name, values in first.inputs.items() if name.startswith("cache_")}
        return found

    def run_in_place(
        self, signature: str, features: Mapping[str, np.ndarray], tenant: Tenant
    ) -> dict[str, np.ndarray] | None:
        buffers = self.buffers("decode")
        buffers.tenancy.take(tenant)
        outputs = self.run(signature, features)
        for name, values in outputs.items():
            if name in buffers.inputs:
                buffers.inputs[name][...] = values
        return {"logits": outputs["logits"]}


class Buffers:
    def __init__(self, chain: Chain) -> None:
        size = chain.logits.shape[1]
        cache = {"cache_0_key": (1, 1, chain.places, 1)}
        memory = {"cache_0_memory_key": (1, 1, 1, 1)} if chain.memory else {}
        self.inputs = {name: np.full(shape, 9, np.float32) for name, shape in (cache | memory).items()}
        self.inputs |= {name: np.full(1, 9, np.int32) for name in ("token_id", "position")}
        self.outputs = {name: np.full(shape, 9, np.float32) for name, shape in cache.items()}
        self.outputs["logits"] = np.full((1, size), 9, np.float32)
        self.tenancy, self.lock = Tenancy(), threading.RLock()
        self._chain = chain

    def invoke(self) -> None:
        self._chain.calls.append(("decode", 1))
        outputs = self._chain._decode(self.inputs)
        for name, values in self.outputs.items():
            values[...] = outputs[name]


class SeveralBuffers(Buffers):
    """Those of a signature that reads several tokens at once."""

    def __init__(self, chain: Chain, tokens: int) -> None:
        super().__init__(chain)
        self.inputs["token_ids"] = np.full((1, tokens), 9, np.int32)
        self.outputs["logits"] = np.full((1, tokens, chain.logits.shape[1]), 9, np.float32)

    def invoke(self) -> None:
        self._chain.calls.append(("decode", self.inputs["token_ids"].shape[1]))
        cache = {"cache_0_key": self.inputs["cache_0_key"].copy()}
        for place, token_id in enumerate(self.inputs["token_ids"][0]):
            position = self.inputs["position"] + place
            outputs = self._chain._step(self.inputs["token_ids"][:, place], position, cache)
            self.outputs["logits"][:, place] = outputs["logits"]
            cache["cache_0_key"][0, 0, position] = token_id
        self.outputs["cache_0_key"][...] = cache["cache_0_key"]


class TurnBuffers(SeveralBuffers):
    """Those of a signature that reads a new turn, and gives the logits after its last token alone."""

    def __init__(self, chain: Chain, tokens: int) -> None:
        super().__init__(chain, tokens)
        self.inputs["num_tokens"] = np.full(1, 9, np.int32)
        self._after_each, self.outputs["logits"] = self.outputs["logits"], np.full((1, chain.logits.shape[1]), 9.0)

    def invoke(self) -> None:
        after_last, self.outputs["logits"] = self.outputs["logits"], self._after_each
        super().invoke()
        self.outputs["logits"] = after_last
        after_last[...] = self._after_each[:, self.inputs["num_tokens"][0] - 1]


def markov(probabilities: Mapping[int, Mapping[int, float]], size: int) -> np.ndarray:
    """Logits `[size, size]` from the probabilities of some tokens after others; all else is next to impossible."""
    logits = np.full((size, size), -30.0)
    for token_id, following in probabilities.items():
        for next_id, probability in following.items():
            logits[token_id, next_id] = np.log(probability)
    return logits


class Letters:
    """A token a letter or a blank, from 4 on; as SentencePiece does, decoding drops a blank in front."""

    kind, pad_id, unknown_id, start_id, end_id = "letters", PAD, UNKNOWN, START, END
    never_ids = [PAD, UNKNOWN, START]
    other_end_ids: list[int] = []
    template = Template()
    alphabet = "abcdefghijklmnopqrstuvwxyz "
    vocabulary_size = 4 + len(alphabet)

    def ids(self, text: str) -> list[int]:
        return [self.alphabet.index(letter) + 4 if letter in self.alphabet else UNKNOWN for letter in text]

    def encode(self, text: str) -> Encoding:
        return Encoding(self.ids(text), [(place, place + 1) for place in range(len(text))])

    def join(self, ids: list[int], pair: list[int] | None, length: int) -> tuple[list[int], list[int]]:
        return self.template.join(ids, pair, length)

    def decode(self, ids) -> str:
        return "".join(self.alphabet[token - 4] for token in ids if token > 3).lstrip()

    def piece_bytes(self) -> list[bytes]:
        return [b""] * 4 + [letter.encode() for letter in self.alphabet]


def random_chain(seed: int, size: int, kind: type[Chain] = Chain, **settings) -> Chain:
    """A chain whose logits are drawn; no token is impossible."""
    return kind(np.random.default_rng(seed).normal(0, 2, (size, size)), **settings)


class Characters(Letters):
    """A token a character: lower-case letters, digits, a blank, a stop; others are unknown."""

    kind = "characters"
    alphabet = "abcdefghijklmnopqrstuvwxyz 0123456789."
    vocabulary_size = 4 + len(alphabet)


class DigitReader:
    """A reader that answers with a number of the context; the higher its first digit, the surer it is, from 4 on.

    It implements the runner's protocol for `QuestionAnsweringTask` over `Characters`.
    """

    max_batch, shareable = 4, True

    def clone(self) -> DigitReader:
        return self

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        zero = Characters.alphabet.index("0") + 4
        digits = features["token_ids"] - zero
        found = (digits >= 0) & (digits < 10) & (features["segment_ids"] == 1)
        before, after = np.roll(found, 1, axis=1), np.roll(found, -1, axis=1)
        starts, ends = np.full((2, *digits.shape), -9, np.float32)
        first, last = found & ~before, found & ~after
        starts[first] = digits[first] - 3.5
        ends[last] = 0
        starts[:, 0] = ends[:, 0] = 0  # no answer
        return {"start_logits": starts, "end_logits": ends}
