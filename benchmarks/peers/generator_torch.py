"""A generator of textapp as a torch module with the same weights and a cache of keys and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from serve import Weights
from torch import Tensor, nn
from torch.nn import functional
from twins import linear, norm, tensor

Past = list[tuple[Tensor, Tensor]]


class Attention(nn.Module):
    """Self- or cross-attention, with grouped key-value heads and, where `rope` is given, turned queries and keys."""

    def __init__(self, settings: dict[str, Any], weights: Weights, name: str, rope: Tensor | None = None) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (
            linear(weights, f"{name}/{part}") for part in ("query", "key", "value", "output")
        )
        self.num_heads, self.num_key_value_heads = settings["num_heads"], settings["num_key_value_heads"]
        self.rope = rope

    def keys_values(self, sequence: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """`[batch, key-value heads, length, head_dim]` each."""
        key, value = (_heads(part(sequence), self.num_key_value_heads) for part in (self.key, self.value))
        return self._turned(key, start), value

    def forward(
        self, sequence: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, start: int = 0
    ) -> Tensor:
        query = self._turned(_heads(self.query(sequence), self.num_heads), start)
        shared = self.num_heads != self.num_key_value_heads
        mixed = functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=shared)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _turned(self, heads: Tensor, start: int) -> Tensor:
        if self.rope is None:
            return heads
        cosine, sine = self.rope[:, start : start + heads.shape[2]].to(heads.dtype)
        low, high = heads.chunk(2, -1)
        return heads * cosine + torch.cat([-high, low], -1) * sine


class Block(nn.Module):
    """Pre-norm, with a cross-attention where the weights hold one."""

    def __init__(self, settings: dict[str, Any], weights: Weights, name: str, rope: Tensor | None) -> None:
        super().__init__()
        epsilon = settings["epsilon"]
        self.attention = Attention(settings, weights, f"{name}/attention", rope)
        self.attention_norm = norm(weights, f"{name}/attention_norm", epsilon)
        self.cross_attention = None
        if f"{name}/cross_attention/query/kernel" in weights:
            self.cross_attention = Attention(settings, weights, f"{name}/cross_attention")
            self.cross_attention_norm = norm(weights, f"{name}/cross_attention_norm", epsilon)
        self.inward, self.outward = linear(weights, f"{name}/inward"), linear(weights, f"{name}/outward")
        self.linear = linear(weights, f"{name}/linear") if f"{name}/linear/kernel" in weights else None
        self.feed_forward_norm = norm(weights, f"{name}/feed_forward_norm", epsilon)
        self.activation = {
            "gelu": functional.gelu,
            "gelu_approximate": lambda values: functional.gelu(values, approximate="tanh"),
            "relu": functional.relu,
            "swiglu": functional.silu,
        }[settings["activation"]]

    def forward(self, sequence: Tensor, past: list[Tensor] | None, memory: Any, mask: Tensor | None) -> Tensor:
        """`past` holds the keys and values so far and is extended in place; None: an encoder."""
        normed = self.attention_norm(sequence)
        start = past[0].shape[2] if past else 0
        key, value = self.attention.keys_values(normed, start)
        if past is not None:
            if past:
                key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
            past[:] = key, value
        sequence = sequence + self.attention(normed, key, value, mask, start)
        if self.cross_attention is not None:
            sequence = sequence + self.cross_attention(self.cross_attention_norm(sequence), *memory)
        normed = self.feed_forward_norm(sequence)
        inner = self.activation(self.inward(normed))
        return sequence + self.outward(inner if self.linear is None else inner * self.linear(normed))


class Stack(nn.Module):
    """An encoder or a decoder: embedding, positions, blocks, the last normalisation."""

    def __init__(self, facts: dict[str, Any], weights: Weights, name: str, table: str) -> None:
        super().__init__()
        settings = facts[name]
        self.embedding = nn.Embedding.from_pretrained(tensor(weights[table]))
        self.scale = facts["embedding_scale"]
        rope = None
        if settings["positions"] == "rope":
            self.positions = None
            rope = _rope(settings["max_length"], settings["hidden_dim"] // settings["num_heads"])
        else:
            self.positions = tensor(weights[f"{name}/positions"])
        self.blocks = nn.ModuleList(
            Block(settings, weights, f"{name}/block_{number}", rope) for number in range(settings["num_layers"])
        )
        self.norm = norm(weights, f"{name}/norm", settings["epsilon"])

    def forward(self, token_ids: Tensor, pasts: Any = None, memories: Any = None) -> Tensor:
        """`[batch, length]` to `[batch, length, hidden_dim]`."""
        start = pasts[0][0].shape[2] if pasts and pasts[0] else 0
        sequence = self.embedding(token_ids) * self.scale
        length = sequence.shape[1]
        if self.positions is not None:
            sequence = sequence + self.positions[start : start + length]
        mask = None
        if pasts is not None and length > 1:  # a prompt is read at once, from position 0
            mask = torch.ones(length, length, dtype=torch.bool).tril()
        for number, block in enumerate(self.blocks):
            past, memory = pasts and pasts[number], memories and memories[number]
            sequence = block(sequence, past, memory, mask)
        return self.norm(sequence)


class Generator(nn.Module):
    """Greedy generation of one text at a time.

    Args:
        facts: model.json of generator_weights.py.
        weights: weights.npz of generator_weights.py, by name.
    """

    def __init__(self, facts: dict[str, Any], weights: Weights) -> None:
        super().__init__()
        self.encoder = Stack(facts, weights, "encoder", "source_embedding") if facts["encoder"] else None
        self.decoder = Stack(facts, weights, "decoder", "target_embedding")
        kernel = weights["logits/kernel"]
        self.logits = nn.Linear(*kernel.shape, bias="logits/bias" in weights)
        self.logits.weight = tensor(kernel.T)
        if "logits/bias" in weights:
            self.logits.bias = tensor(weights["logits/bias"])
        self.start_id, self.end_id = facts["start_id"], facts["end_id"]

    def generate(self, ids: list[int], new: int, fixed: bool = False) -> list[int]:
        """The most likely token, `new` times or until the end token, which is kept.

        Args:
            ids: of the source, or of the prompt.
            new: most tokens.
            fixed: the end token is forbidden.
        """
        with torch.inference_mode():
            token_ids, memories = torch.tensor([ids]), None
            if self.encoder is not None:
                memory = self.encoder(token_ids)
                memories = [block.cross_attention.keys_values(memory) for block in self.decoder.blocks]
                token_ids = torch.tensor([[self.start_id]])
            pasts: list[list[Tensor]] = [[] for _ in self.decoder.blocks]
            chosen: list[int] = []
            while len(chosen) < new and self.end_id not in chosen[-1:]:
                logits = self.logits(self.decoder(token_ids, pasts, memories)[:, -1])
                if fixed:
                    logits[:, self.end_id] = -torch.inf
                chosen.append(int(logits.argmax()))
                token_ids = torch.tensor([[chosen[-1]]])
            return chosen


def _heads(projected: Tensor, num_heads: int) -> Tensor:
    return projected.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def _rope(length: int, head_dim: int) -> Tensor:
    """Cosines and sines, `[2, length, head_dim]`: the second half of a head repeats the first."""
    rates = 1.0 / 10000.0 ** (np.arange(0, head_dim, 2) / head_dim)
    angles = np.tile(np.arange(length)[:, None] * rates[None, :], 2)
    return torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32))
