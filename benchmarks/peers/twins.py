"""The models of textapp as torch modules with the same weights, written as a torch user would write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from serve import Weights, facts_of, weights_of
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-12  # of BERT


def load_twin(work: Path) -> nn.Module:
    """The twin of the run that weights.py wrote into `work`: token ids and mask `[batch, length]` to logits."""
    facts = facts_of(work)
    twins = TWINS[facts["task"]]
    if facts["architecture"] not in twins:
        raise SystemExit(f"no torch twin of '{facts['architecture']}': expected one of {', '.join(twins)}")
    return twins[facts["architecture"]](facts["config"], weights_of(work)).eval()


def tensor(array: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.ascontiguousarray(array, np.float32)), requires_grad=False)


def linear(weights: Weights, name: str) -> nn.Linear:
    kernel = weights[f"{name}/kernel"]
    layer = nn.Linear(*kernel.shape)
    layer.weight, layer.bias = tensor(kernel.T), tensor(weights[f"{name}/bias"])
    return layer


def norm(weights: Weights, name: str, epsilon: float = 1e-6) -> nn.LayerNorm:
    layer = nn.LayerNorm(len(weights[f"{name}/gamma"]), eps=epsilon)
    layer.weight, layer.bias = tensor(weights[f"{name}/gamma"]), tensor(weights[f"{name}/beta"])
    return layer


def _embedding(weights: Weights, name: str) -> nn.Embedding:
    return nn.Embedding.from_pretrained(tensor(weights[name]))


class Attention(nn.Module):
    """Multi-head attention. `explicit` writes it out as products and a softmax: the form that ONNX Runtime fuses."""

    def __init__(self, weights: Weights, name: str, num_heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (
            linear(weights, f"{name}/{part}") for part in ("query", "key", "value", "output")
        )
        self.num_heads, self.explicit = num_heads, False

    def forward(self, sequence: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, dim = sequence.shape
        shape = (batch, length, self.num_heads, dim // self.num_heads)
        query, key, value = (part(sequence).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        if self.explicit:
            scores = query @ key.transpose(-1, -2) / shape[-1] ** 0.5
            mixed = (scores if mask is None else scores + mask).softmax(-1) @ value
        else:
            mixed = functional.scaled_dot_product_attention(query, key, value, mask)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, dim))


class Block(nn.Module):
    def __init__(self, weights: Weights, name: str, num_heads: int, activation: str, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.attention = Attention(weights, f"{name}/attention", num_heads)
        self.inward, self.outward = linear(weights, f"{name}/inward"), linear(weights, f"{name}/outward")
        self.attention_norm = norm(weights, f"{name}/attention_norm", epsilon)
        self.feed_forward_norm = norm(weights, f"{name}/feed_forward_norm", epsilon)
        self.activation = {"gelu": functional.gelu, "relu": functional.relu}[activation]

    def forward(self, sequence: Tensor, mask: Tensor | None) -> Tensor:
        sequence = sequence + self.attention(self.attention_norm(sequence), mask)
        return sequence + self.outward(self.activation(self.inward(self.feed_forward_norm(sequence))))


class Transformer(nn.Module):
    def __init__(self, config: dict, weights: Weights) -> None:
        super().__init__()
        if config["positions"] == "rope" or config["activation"] == "swiglu" or config["num_key_value_heads"]:
            raise SystemExit("the torch twin has no rope, no swiglu and no shared key-value heads")
        self.embedding = _embedding(weights, "token_embedding/embeddings")
        self.projection = linear(weights, "embedding_projection") if "embedding_projection/kernel" in weights else None
        self.positions = tensor(weights["positions/table"])
        self.spread = False  # two summands of one shape: ONNX Runtime then fuses the first attention like the others
        self.blocks = nn.ModuleList(
            Block(weights, f"block_{number}", config["num_heads"], config["activation"])
            for number in range(config["num_layers"])
        )
        self.norm, self.logits = norm(weights, "norm"), linear(weights, "logits")

    def forward(self, token_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        sequence = self.embedding(token_ids)
        if self.projection is not None:
            sequence = self.projection(sequence)
        positions = self.positions[: token_ids.shape[1]]
        sequence = sequence + (positions.unsqueeze(0).expand(sequence.shape) if self.spread else positions)
        added = None
        if attention_mask is not None:
            added = (1.0 - attention_mask.unsqueeze(1).unsqueeze(2).to(torch.float32)) * -10000.0
        for block in self.blocks:
            sequence = block(sequence, added)
        return self.logits(_mean(self.norm(sequence), attention_mask))


class Cnn(nn.Module):
    def __init__(self, config: dict, weights: Weights) -> None:
        super().__init__()
        self.embedding = _embedding(weights, "token_embedding/embeddings")
        biases = np.split(weights["windows/bias"], len(config["kernel_sizes"]))
        self.windows = nn.ModuleList()
        for size, bias in zip(config["kernel_sizes"], biases, strict=True):
            kernel = weights[f"windows/kernel_{size}"]  # [size, dim, filters]
            window = nn.Conv1d(kernel.shape[1], kernel.shape[2], size)
            window.weight, window.bias = tensor(kernel.transpose(2, 1, 0)), tensor(bias)
            self.windows.append(window)
        self.scale, self.shift = _batch_norm(weights, "norm", sum(len(bias) for bias in biases))
        self.logits = linear(weights, "logits")

    def forward(self, token_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        sequence = self.embedding(token_ids)
        mask = None if attention_mask is None else attention_mask.unsqueeze(1).to(torch.float32)
        columns = sequence.transpose(1, 2)
        columns = columns if mask is None else columns * mask
        pooled = []
        for window in self.windows:
            around = window.kernel_size[0] - 1
            features = window(functional.pad(columns, (around // 2, around - around // 2))).relu()
            pooled.append((features if mask is None else features * mask).amax(-1))
        return self.logits(torch.cat(pooled, -1) * self.scale + self.shift)


class Lstm(nn.Module):
    def __init__(self, config: dict, weights: Weights) -> None:
        super().__init__()
        self.embedding = _embedding(weights, "token_embedding/embeddings")
        self.bidirectional = config["bidirectional"]
        self.layers = nn.ModuleList(
            _lstm(weights, f"lstm_{number}", self.bidirectional) for number in range(len(config["units"]))
        )
        self.dense = linear(weights, "dense") if "dense/kernel" in weights else None
        self.logits = linear(weights, "logits")

    def forward(self, token_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        sequence = self.embedding(token_ids)
        for layer in self.layers:
            sequence = layer(sequence)[0]
        if attention_mask is None:
            last = sequence[:, -1]
        elif self.bidirectional:
            raise SystemExit("the torch twin of a bidirectional LSTM takes no padding: time it with dynamic shapes")
        else:
            position = (attention_mask.sum(1) - 1).view(-1, 1, 1).expand(-1, 1, sequence.shape[-1])
            last = sequence.gather(1, position).squeeze(1)
        if self.bidirectional:
            half = sequence.shape[-1] // 2
            last = torch.cat([last[:, :half], sequence[:, 0, half:]], -1)
        return self.logits(last if self.dense is None else self.dense(last).relu())


class BertBlock(Block):
    """As published (Devlin et al., 2019): the normalisation stands behind the sum."""

    def forward(self, sequence: Tensor, mask: Tensor | None) -> Tensor:
        sequence = self.attention_norm(sequence + self.attention(sequence, mask))
        return self.feed_forward_norm(sequence + self.outward(self.activation(self.inward(sequence))))


class BertReader(nn.Module):
    """A pretrained BERT with textapp's head for spans: start and end logits `[batch, length, 2]`."""

    def __init__(self, config: dict, weights: Weights) -> None:
        super().__init__()
        self.embedding = _embedding(weights, "token_embedding/embeddings")
        self.segments = _embedding(weights, "segment_embedding/embeddings")
        self.positions = tensor(weights["positions/table"])
        self.spread = False
        self.embeddings_norm = norm(weights, "embeddings_norm", EPSILON)
        num_blocks = sum(name.endswith("/inward/kernel") for name in weights)
        self.blocks = nn.ModuleList(
            BertBlock(weights, f"block_{number}", config["num_heads"], "gelu", EPSILON) for number in range(num_blocks)
        )
        self.weight, self.compared, self.alone = (
            linear(weights, f"logits/{name}") for name in ("weight", "compared", "alone")
        )

    def forward(self, token_ids: Tensor, segment_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        positions = self.positions[: token_ids.shape[1]]
        sequence = self.embedding(token_ids) + self.segments(segment_ids)
        sequence = sequence + (positions.unsqueeze(0).expand(sequence.shape) if self.spread else positions)
        sequence, added = self.embeddings_norm(sequence), None
        question = 1.0 - segment_ids.to(torch.float32)
        if attention_mask is not None:
            present = attention_mask.to(torch.float32)
            added = (1.0 - present.unsqueeze(1).unsqueeze(2)) * -10000.0
            question = question * present
        for block in self.blocks:
            sequence = block(sequence, added)
        dim = sequence.shape[-1]
        shares = (self.weight(sequence).squeeze(-1) + (1.0 - question) * -10000.0).softmax(-1)
        summary = (shares.unsqueeze(1) @ sequence).squeeze(1)
        compared = self.compared(summary).reshape(-1, dim, 2) * dim**-0.5
        return sequence @ compared + self.alone(sequence)


def _lstm(weights: Weights, name: str, bidirectional: bool) -> nn.LSTM:
    """Keras and torch both keep the gates as input, forget, cell, output; torch adds two biases where Keras has one."""
    dim, gates = weights[f"{name}/forward_kernel"].shape
    layer = nn.LSTM(dim, gates // 4, batch_first=True, bidirectional=bidirectional)
    for direction, suffix in [("forward", ""), ("backward", "_reverse")][: 1 + bidirectional]:
        bias = weights[f"{name}/{direction}_bias"]
        setattr(layer, f"weight_ih_l0{suffix}", tensor(weights[f"{name}/{direction}_kernel"].T))
        setattr(layer, f"weight_hh_l0{suffix}", tensor(weights[f"{name}/{direction}_recurrent_kernel"].T))
        setattr(layer, f"bias_ih_l0{suffix}", tensor(bias))
        setattr(layer, f"bias_hh_l0{suffix}", tensor(np.zeros_like(bias)))
    return layer


def _batch_norm(weights: Weights, name: str, width: int, epsilon: float = 1e-3) -> tuple[nn.Parameter, nn.Parameter]:
    """Batch normalisation at inference is a scale and a shift; 1 and 0 where the model has none."""
    if f"{name}/gamma" not in weights:
        return tensor(np.ones(width)), tensor(np.zeros(width))
    scale = weights[f"{name}/gamma"] / np.sqrt(weights[f"{name}/moving_variance"] + epsilon)
    return tensor(scale), tensor(weights[f"{name}/beta"] - weights[f"{name}/moving_mean"] * scale)


def _mean(sequence: Tensor, attention_mask: Tensor | None) -> Tensor:
    if attention_mask is None:
        return sequence.mean(1)
    mask = attention_mask.unsqueeze(-1).to(torch.float32)
    return (sequence * mask).sum(1) / mask.sum(1).clamp(min=1.0)


TWINS = {
    "classification": {"transformer": Transformer, "cnn": Cnn, "lstm": Lstm},
    "question_answering": {"preset": BertReader},
}
