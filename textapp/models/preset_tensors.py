"""Fills textapp's layers from the tensors of a published folder; what all kinds of models need."""

from __future__ import annotations

from typing import Any

import numpy as np

from textapp.errors import ConfigError
from textapp.models.generator import Generator
from textapp.models.preset_folder import Folder

PLAIN = {
    "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_approximate", "gelu_fast": "gelu_approximate",
    "gelu_pytorch_tanh": "gelu_approximate", "relu": "relu",
}  # fmt: skip
GATED = {
    "silu": "swiglu", "swish": "swiglu", "gelu": "geglu", "gelu_new": "geglu_approximate",
    "gelu_pytorch_tanh": "geglu_approximate",
}  # fmt: skip


def fill_dense(folder: Folder, name: str, layer: Any, bias: bool = True) -> None:
    """Fills a Dense layer from `name.weight` `[outputs, inputs]` and `name.bias`.

    Args:
        folder: of the model.
        name: of the tensors, without `.weight`.
        layer: is filled.
        bias: False: the model has none, and that of the layer, if it has one, becomes 0.
    """
    inputs, outputs = layer.kernel.shape
    layer.kernel.assign(folder.tensor(f"{name}.weight", outputs, inputs).T)
    if layer.bias is not None:
        layer.bias.assign(folder.tensor(f"{name}.bias", outputs) if bias else np.zeros(outputs))


def fill_norm(folder: Folder, name: str, layer: Any, old_names: bool = False) -> None:
    """Fills a normalisation from `name.weight` and, if it has a shift, `name.bias`.

    Args:
        folder: of the model.
        name: of the tensors, without `.weight`.
        layer: is filled.
        old_names: the names may be those of the first BERTs, `gamma` and `beta`.
    """
    scale, shift = ("gamma", "beta") if old_names and not folder.has(f"{name}.weight") else ("weight", "bias")
    (dim,) = layer.gamma.shape
    layer.gamma.assign(folder.tensor(f"{name}.{scale}", dim))
    if getattr(layer, "beta", None) is not None:
        layer.beta.assign(folder.tensor(f"{name}.{shift}", dim))


def fill_output_layer(folder: Folder, model: Generator, rows: int) -> None:
    """Fills the output layer, unless the embeddings are used for it.

    Args:
        folder: of the model.
        model: its embeddings are filled.
        rows: tokens of the published model.

    Raises:
        ConfigError: the embeddings should be used, but the folder has another output layer.
    """
    name = "lm_head.weight"
    if model.tie_embeddings and name not in folder.names:
        return
    table = folder.tensor(name, rows, model.embedding_dim, whole_name=True)[: model.vocabulary_size]
    if not model.tie_embeddings:
        model.output_projection.kernel.assign(table.T)
    elif not np.allclose(table, _unscaled(model), rtol=1e-6):
        raise folder.fault("tie_word_embeddings", f"false, because {name} is not the table of embeddings")


def _unscaled(model: Generator) -> np.ndarray:
    """The table of embeddings as it was published."""
    table = np.asarray(model.token_embedding.embeddings)
    return table * np.float32(model.embedding_dim**0.5) if model.scaled else table


def fill_embeddings(folder: Folder, name: str, model: Generator, rows: int) -> None:
    """Fills the table of embeddings.

    Args:
        folder: of the model.
        name: of the tensor.
        model: takes the first tokens, as many as its vocabulary has.
        rows: tokens of the published model.
    """
    table = folder.tensor(name, rows, model.embedding_dim)[: model.vocabulary_size]
    model.token_embedding.embeddings.assign(table * model.embedding_dim**-0.5 if model.scaled else table)


def check_rows(folder: Folder, rows: int, vocabulary_size: int) -> None:
    """Checks that a model knows every token of its tokenizer.

    Args:
        folder: of the model.
        rows: tokens of the model.
        vocabulary_size: of the tokenizer.

    Raises:
        ConfigError: it does not.
    """
    if vocabulary_size > rows:
        raise ConfigError(
            f"model.path: {str(folder.path)!r} knows {rows} tokens, its tokenizer has {vocabulary_size}: take config, "
            "weights and tokenizer from the same model"
        )
