"""Structured pruning: which units, heads and layers a model has, how much each counts, and the weights without some.

Removing a unit is to multiply its output by 0. The first-order estimate of what that does to the loss is the gradient
with respect to that factor, which needs no factor in the model: it is the sum of weight times gradient over the weights
that read the unit. Its size, as a mean over examples, is the unit's importance (Michel et al., 2019; Molchanov et al.,
2019). Units compete with those of their own layer, so all layers of a kind keep the same number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from textapp.batches.pipeline import Batch, BatchSource
from textapp.files import write_text
from textapp.layers import Lstm, SpanLogits, TransformerBlock, WindowFeatures


class Part(NamedTuple):
    """What the units of a group have of a variable.

    Attributes:
        variable: the variable.
        axis: one of its axes.
        places: of each unit along the axis, `[units, places]`.
        reads: whether these weights multiply the outputs of the units.
    """

    variable: keras.Variable
    axis: int
    places: np.ndarray
    reads: bool = False


@dataclass
class Group:
    """Units of one layer, of which some may leave.

    Attributes:
        name: for people: `encoder/block_0/feed_forward`.
        kind: `feed_forward`, `heads` or `units`.
        count: units.
        parts: all that they have.
        rescaled: variables whose product is divided by the square root of `count` in the model; so that it stays as it
            was, they are multiplied by the root of the share that stays.
        block: whose units they are, of a Transformer.
    """

    name: str
    kind: str
    count: int
    parts: list[Part]
    rescaled: list[keras.Variable] = field(default_factory=list)
    block: TransformerBlock | None = None


class Anatomy(NamedTuple):
    """What may leave a model.

    Attributes:
        groups: of units and heads.
        stacks: blocks of each Transformer in it, bottom first.
    """

    groups: list[Group]
    stacks: list[list[TransformerBlock]]


class Importance(NamedTuple):
    """How much each unit and each block counts.

    Attributes:
        units: of each group, `[count]`.
        blocks: of each stack, `[blocks]`.
    """

    units: list[np.ndarray]
    blocks: list[np.ndarray]


class Kept(NamedTuple):
    """What stays, as numbers in the model before.

    Attributes:
        units: of each group, ascending; None for one in a block that leaves.
        blocks: of each stack, ascending.
    """

    units: list[list[int] | None]
    blocks: list[list[int]]


# --- what a model has ----------------------------------------------------------------------------------------------


def anatomy(model: keras.Model) -> Anatomy:
    """The groups of units of a model, and its blocks.

    Args:
        model: any model of textapp in its inference form, but for presets on KerasHub's layers, which have none.
    """
    stacks = _stacks(model)
    groups = [group for stack in stacks for block in stack for group in _of_block(block)]
    return Anatomy([*groups, *_recurrent(model), *_convolutions(model), *_hidden(model)], stacks)


def _stacks(model: keras.Model) -> list[list[TransformerBlock]]:
    parts = [getattr(model, name, None) for name in ("encoder", "decoder")]
    stacks = [list(part.blocks) for part in parts if hasattr(part, "blocks")]
    if stacks:
        return stacks
    blocks = [layer for layer in model._flatten_layers() if isinstance(layer, TransformerBlock)]
    return [sorted(blocks, key=lambda block: int(block.name.rpartition("_")[2]))] if blocks else []


def _of_block(block: TransformerBlock) -> Iterator[Group]:
    """The feed-forward units of a block, and the heads of each of its attentions."""
    count = block.settings.intermediate_dim
    units = _each(count)
    inward = [layer for layer in (block.inward, block.linear) if layer is not None]
    parts = [part for layer in inward for part in _writes(layer, units)]
    name = block.inward._kernel.path.rpartition("/inward/")[0]
    yield Group(
        f"{name}/feed_forward", "feed_forward", count, [*parts, Part(block.outward._kernel, 0, units, True)],
        block=block,
    )  # fmt: skip
    for attention in (block.attention, getattr(block, "cross_attention", None)):
        if attention is None:
            continue
        shared, dim = attention.num_key_value_heads, attention.head_dim
        width = {"query": dim * attention.num_heads // shared, "key": dim, "value": dim}
        projections = attention.projections
        parts = [
            part for name, size in width.items() for part in _writes(projections[name], _each(shared, size))
        ]  # fmt: skip
        output = projections["output"]._kernel
        parts.append(Part(output, 0, _each(shared, width["query"]), True))
        yield Group(output.path.rpartition("/output/")[0], "heads", shared, parts, block=block)


def _recurrent(model: keras.Model) -> Iterator[Group]:
    """The units of each direction of each LSTM layer, and what a decoder compares with its memory."""
    decoder, encoder = getattr(model, "decoder", None), getattr(model, "encoder", None)
    if hasattr(decoder, "cells"):
        yield from _decoder_units(decoder, encoder)
        return
    lstms = sorted(
        (layer for layer in model._flatten_layers() if isinstance(layer, Lstm)),
        key=lambda layer: int(layer.name.rpartition("_")[2]),
    )
    if not lstms:
        return
    top = [layer for layer in _layers_of(model) if isinstance(layer, SpanLogits)] or _first(model, "dense", "logits")
    for lstm, reader in zip(lstms, [*lstms[1:], top[0]], strict=True):
        yield from _of_lstm(lstm, [(reader, 0)])


def _decoder_units(decoder: Any, encoder: Any) -> Iterator[Group]:
    memory = decoder.memory_dim is not None
    readers: list[tuple[Any, int]]
    if encoder is not None:
        readers = [(decoder.key, 0), (decoder.first_states, 0), (decoder.output_projection, decoder.units[-1])]
        yield from _of_stack(encoder.cells, readers)
    readers = [(decoder.output_projection, 0), *([(decoder.query, 0)] if memory else [])]
    groups = list(_of_stack(decoder.cells, readers))
    if memory:
        start = 0
        for group in groups:
            places = start + np.stack([np.arange(group.count), np.arange(group.count) + group.count], axis=1)
            group.parts.extend(_writes(decoder.first_states, places))
            start += 2 * group.count
        count = decoder.units[-1]
        query, key = decoder.query._kernel, decoder.key._kernel
        parts = [Part(query, 1, _each(count), True), Part(key, 1, _each(count))]
        groups.append(Group(query.path.rpartition("/query/")[0] + "/memory", "units", count, parts, [query]))
    yield from groups


def _of_stack(cells: Sequence[Lstm], readers: Sequence[tuple[Any, int]]) -> Iterator[Group]:
    for number, cell in enumerate(cells):
        yield from _of_lstm(cell, readers if number == len(cells) - 1 else [(cells[number + 1], 0)])


def _of_lstm(lstm: Lstm, readers: Sequence[tuple[Any, int]]) -> Iterator[Group]:
    """The units of each direction.

    Args:
        lstm: the layer.
        readers: the layers that take its outputs, each with the place of the first one among its inputs.
    """
    count = lstm.units
    gates = np.arange(count)[:, None] + count * np.arange(4)
    for number, (kernel, recurrent, bias) in enumerate(lstm.directions):
        parts = [Part(kernel, 1, gates), Part(recurrent, 1, gates), Part(bias, 0, gates)]
        parts.append(Part(recurrent, 0, _each(count), True))
        rescaled: list[keras.Variable] = []
        for reader, first in readers:
            parts.extend(_reads(reader, _each(count) + first + number * count))
            if isinstance(reader, SpanLogits) and number == 0:  # once for both directions
                rescaled = [reader.compared._kernel, reader.compared.bias]
        yield Group(kernel.path.removesuffix("_kernel"), "units", count, parts, rescaled)


def _convolutions(model: keras.Model) -> Iterator[Group]:
    """The filters of each width."""
    for layer in model._flatten_layers():
        if not isinstance(layer, WindowFeatures):
            continue
        for number, kernel in enumerate(layer.kernels):
            units = _each(layer.filters)
            places = units + number * layer.filters
            parts = [Part(kernel, 2, units), Part(layer.bias, 0, places)]
            for reader in _first(model, "norm", "logits"):
                parts.extend(_reads(reader, places))
            yield Group(kernel.path, "units", layer.filters, parts)


def _hidden(model: keras.Model) -> Iterator[Group]:
    """The units of the dense layers between pooling and logits."""
    layers = _layers_of(model)
    names = [layer.name for layer in layers if layer.name == "dense" or layer.name.startswith("hidden_")]
    dense = [layer for layer in layers if layer.name in names and isinstance(layer, keras.layers.Dense)]
    for layer, reader in zip(dense, [*dense[1:], *_first(model, "logits")], strict=False):
        units = _each(layer.units)
        parts = _writes(layer, units)
        for norm in _first(model, layer.name.replace("hidden_", "hidden_norm_")):
            if isinstance(norm, keras.layers.BatchNormalization):
                parts.extend(_reads(norm, units))
        yield Group(layer._kernel.path.removesuffix("/kernel"), "units", layer.units, [*parts, *_reads(reader, units)])


def _layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in getattr(model, "layers", ()) if not isinstance(layer, keras.Model)]


def _first(model: keras.Model, *names: str) -> list[keras.layers.Layer]:
    """The layers of these names that a model itself has, down to the first that mixes its inputs."""
    found = []
    for name in names:
        found += [layer for layer in _layers_of(model) if layer.name == name]
        if found and not isinstance(found[-1], keras.layers.BatchNormalization):
            break
    return found


def _each(count: int, size: int = 1) -> np.ndarray:
    """The places of units that each have `size` in a row: `[count, size]`."""
    return np.arange(count * size).reshape(count, size)


def _writes(dense: Any, places: np.ndarray) -> list[Part]:
    """What units have of the layer that computes them."""
    bias = [Part(dense.bias, 0, places)] if dense.use_bias else []
    return [Part(dense._kernel, 1, places), *bias]


def _reads(layer: Any, places: np.ndarray) -> list[Part]:
    """What units have of a layer that takes them, by their places among its inputs."""
    if isinstance(layer, Lstm):
        return [Part(kernel, 0, places, True) for kernel, _, _ in layer.directions]
    if isinstance(layer, keras.layers.BatchNormalization):  # its output is that of the unit
        return [Part(variable, 0, places) for variable in layer.weights]
    if isinstance(layer, SpanLogits):  # each token is multiplied by a vector of the question, of two numbers a feature
        pairs = np.concatenate([2 * places, 2 * places + 1], axis=1)
        inputs = [Part(each._kernel, 0, places, True) for each in (layer.weight, layer.compared, layer.alone)]
        return [*inputs, Part(layer.compared._kernel, 1, pairs, True), Part(layer.compared.bias, 0, pairs, True)]
    return [Part(layer._kernel, 0, places, True)]


# --- importance ----------------------------------------------------------------------------------------------------


def importance(
    model: keras.Model, found: Anatomy, source: BatchSource, loss: Callable[[Batch, Any], Any], examples: int
) -> Importance:
    """Measures units and blocks on training examples: the mean size of what the loss of one would change by.

    Args:
        model: as it answers, in float32.
        found: its anatomy.
        source: the training batches; the first examples of epoch 0 are taken.
        loss: of the task.
        examples: how many.
    """
    variables, places = _distinct([
        *(part.variable for group in found.groups for part in group.parts if part.reads),
        *(variable for stack in found.stacks for block in stack for variable in _outputs(block)),
    ])  # fmt: skip

    @tf.function(reduce_retracing=True)
    def measured(row: Batch) -> tuple[list[Any], list[Any]]:
        with tf.GradientTape() as tape:
            outputs = model(row["features"], training=False)
            total = tf.reduce_sum(tf.cast(loss(row, outputs), tf.float32) * row["weights"])
        values = [variable.value for variable in variables]
        gradients = tape.gradient(total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        products = [value * tf.convert_to_tensor(each) for value, each in zip(values, gradients, strict=True)]
        units = [
            tf.abs(sum(
                _along(products[places[id(part.variable)]], part) for part in group.parts if part.reads
            ))
            for group in found.groups
        ]  # fmt: skip
        blocks = [
            tf.abs(tf.stack([
                sum(tf.reduce_sum(products[places[id(variable)]]) for variable in _outputs(block)) for block in stack
            ]))
            for stack in found.stacks
        ]  # fmt: skip
        return units, blocks

    totals: list[np.ndarray] | None = None
    taken = 0
    for row in _rows(source, examples):
        values = [each.numpy().astype(np.float64) for each in tf.nest.flatten(measured(row))]
        totals = values if totals is None else [one + other for one, other in zip(totals, values, strict=True)]
        taken += 1
    means = [total / max(1, taken) for total in totals or ()]
    return Importance(means[: len(found.groups)], means[len(found.groups) :])


def _outputs(block: TransformerBlock) -> list[keras.Variable]:
    """The weights whose products a block adds to its sequence."""
    layers = [block.outward, block.attention.projections["output"]]
    if getattr(block, "cross_attention", None) is not None:
        layers.append(block.cross_attention.projections["output"])
    return [variable for layer in layers for variable in layer.trainable_variables]


def _distinct(variables: Iterable[keras.Variable]) -> tuple[list[keras.Variable], dict[int, int]]:
    """Each variable once, and its place by its id."""
    found = {id(variable): variable for variable in variables}
    return list(found.values()), {each: place for place, each in enumerate(found)}


def _along(product: Any, part: Part) -> Any:
    """The sum of what each unit has of a product of the shape of the variable, `[units]`."""
    others = [axis for axis in range(len(product.shape)) if axis != part.axis]
    return tf.reduce_sum(tf.gather(tf.reduce_sum(product, axis=others), part.places), axis=1)


def _rows(source: BatchSource, examples: int) -> Iterator[Batch]:
    """Training examples as batches of one row, without rows that only fill a batch."""
    count = 0
    for batch in source.distributed(source.plan(0), tf.distribute.get_strategy()):
        for row in np.flatnonzero(np.asarray(batch["weights"]) > 0):
            # What has no rows is the weight of the whole batch.
            yield tf.nest.map_structure(lambda each, row=row: each[row : row + 1] if each.shape.rank else each, batch)
            count += 1
            if count == examples:
                return


# --- removal -------------------------------------------------------------------------------------------------------


def choose(found: Anatomy, importances: Importance, smaller: Anatomy) -> Kept:
    """Chooses what stays: of each stack the blocks, of each group the units, of the greatest importance.

    Args:
        found: of the model.
        importances: of all that it has.
        smaller: of the smaller model, whose sizes decide how many stay.
    """
    blocks = [
        _greatest(values, len(stack)) for values, stack in zip(importances.blocks, smaller.stacks, strict=True)
    ]  # fmt: skip
    gone = _gone(found, blocks)
    stay = [group.block is None or id(group.block) not in gone for group in found.groups]
    sizes = iter(smaller.groups)
    units = [
        _greatest(values, next(sizes).count) if stays else None
        for values, stays in zip(importances.units, stay, strict=True)
    ]
    return Kept(units, blocks)


def _greatest(values: np.ndarray, count: int) -> list[int]:
    """The places of the greatest values, ascending; of equal ones the first."""
    return sorted(int(place) for place in np.argsort(-np.asarray(values), kind="stable")[:count])


def _gone(found: Anatomy, kept: Sequence[Sequence[int]]) -> set[int]:
    """The ids of the blocks that leave."""
    return {
        id(block)
        for stack, stay in zip(found.stacks, kept, strict=True)
        for number, block in enumerate(stack)
        if number not in stay
    }


def kept_weights(model: keras.Model, found: Anatomy, kept: Kept) -> list[np.ndarray]:
    """The weights of a model without what leaves, in the order of those of the smaller model.

    Args:
        model: the model.
        found: its anatomy.
        kept: what stays.
    """
    gone = _gone(found, kept.blocks)
    dropped = {
        id(weight) for stack in found.stacks for block in stack if id(block) in gone for weight in block.weights
    }  # fmt: skip
    places: dict[int, dict[int, list[int]]] = {}
    factors: dict[int, float] = {}
    for group, stay in zip(found.groups, kept.units, strict=True):
        if stay is None or len(stay) == group.count:
            continue
        leave = np.setdiff1d(np.arange(group.count), stay)
        for part in group.parts:
            of_axis = places.setdefault(id(part.variable), {}).setdefault(part.axis, [])
            of_axis.extend(part.places[leave].reshape(-1).tolist())
        for variable in group.rescaled:
            factors[id(variable)] = (len(stay) / group.count) ** 0.5
    weights = []
    for weight in model.weights:
        if id(weight) in dropped:
            continue
        values = np.asarray(weight)
        for axis, removed in places.get(id(weight), {}).items():
            values = np.delete(values, removed, axis)
        weights.append((values * factors.get(id(weight), 1.0)).astype(values.dtype))
    return weights


def store_kept(kept: Kept, file: Path) -> None:
    """Writes a choice into a file, for a training that is resumed."""
    write_text(file, json.dumps(kept._asdict()))


def stored_kept(file: Path) -> Kept | None:
    """The choice in a file; None if there is none yet."""
    return Kept(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def told(found: Anatomy, kept: Kept) -> dict[str, Any]:
    """What stayed, for metrics.json: units of each group before and after, and the numbers of the blocks."""
    rows: list[Mapping[str, Any]] = [
        {"name": group.name, "kind": group.kind, "before": group.count, "after": 0 if stay is None else len(stay)}
        for group, stay in zip(found.groups, kept.units, strict=True)
    ]
    return {"groups": rows, "layers": kept.blocks}
