"""The config of the smaller model that a step of the method `structure` makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from textapp.compression.recipe import Structure
from textapp.config import ModelConfig
from textapp.errors import ConfigError

# The parts of each architecture, with the keys of its config that hold their sizes.
SIZES: dict[str, dict[str, tuple[str, ...]]] = {
    "transformer": {
        "feed_forward": ("intermediate_dim",), "heads": ("num_heads",),
        "layers": ("num_layers", "encoder_layers", "decoder_layers"),
        "encoder_layers": ("encoder_layers",), "decoder_layers": ("decoder_layers",),  # in place of `layers`
    },
    "preset": {"feed_forward": ("intermediate_dim",), "heads": ("num_heads",), "layers": ("num_layers",)},
    "lstm": {"units": ("units", "dense_units")},
    "cnn": {"units": ("filters",)},
    "mlp": {"units": ("hidden_dims",)},
}  # fmt: skip
WORDS = {
    "feed_forward": "feed-forward units", "heads": "heads", "layers": "layers", "encoder_layers": "encoder layers",
    "decoder_layers": "decoder layers", "units": "units",
}  # fmt: skip
DEPTHS = ("layers", "encoder_layers", "decoder_layers")  # which `keep` does not mean


def smaller_model(
    config: ModelConfig,
    step: Structure,
    where: Callable[[str], str] = str,
    preset: Mapping[str, int] | None = None,
    name: str = "steps.0",
) -> ModelConfig:
    """The model part of the config of the smaller model.

    Args:
        config: resolved, of the model that the step begins with.
        step: of a recipe.
        where: a dotted key of the recipe to where it stands, for messages.
        preset: the sizes of a preset, if it is a text encoder.
        name: the dotted key of the step.

    Raises:
        ConfigError: the model has not what is to be removed, or none of it would be left, or nothing leaves.

    Example: of a transformer with `hidden_dim` 64 and 4 heads, `keep` 0.5 leaves 2 heads of `head_dim` 16, and 128 of
    its 256 feed-forward units.
    """
    known = SIZES[config.architecture]
    if config.pretrained and not preset:
        key = f"{name}.method"
        raise ConfigError(
            f"{where(key)}: {key}: found structure for a preset that writes, whose sizes are those of its folder; of "
            "presets only text encoders become smaller: distill into a transformer instead"
        )
    sizes = preset or _sizes(config)
    able = [part for part in known if any(sizes.get(size) for size in known[part])]
    for part in WORDS:
        if getattr(step, part) is not None and part not in able:
            key = f"{name}.{part}"
            raise ConfigError(
                f"{where(key)}: {key}: found a share of {WORDS[part]}, of which this {config.architecture} has none to "
                f"spare, expected of it: {', '.join(able) or 'nothing, leave the step out'}"
            )
    update: dict[str, Any] = {}
    for part, names in known.items():
        share = getattr(step, part)
        named = share is not None
        if not named:
            share = (step.keep if part not in DEPTHS else None) or 1.0
        for size in names:
            if sizes.get(size) and (named or size not in update):
                key = f"{name}.{part}"
                update[size] = _kept(sizes[size], share, named, WORDS[part], f"{where(key)}: {key}")
    if all(number == sizes[size] for size, number in update.items()):
        raise ConfigError(
            f"{where(name)}: {name}: found nothing to remove from the model "
            f"({', '.join(f'{size} {number}' for size, number in update.items()) or 'it has no hidden layers'}): lower "
            "a share, or leave the step out"
        )
    named = _named(config, update)
    return config.model_copy(update=named if step.dropout is None else {**named, "dropout": step.dropout})


def _sizes(config: Any) -> Mapping[str, Any]:
    """The sizes of a model by their keys; heads are counted by those of keys and values, which leave with a group."""
    sizes = config.model_dump()
    if config.architecture == "transformer":
        sizes["intermediate_dim"] = config.intermediate_dim or 4 * config.hidden_dim
        sizes["num_heads"] = config.num_key_value_heads or config.num_heads
    return sizes


def _named(config: Any, update: dict[str, Any]) -> dict[str, Any]:
    """The sizes as keys of the config: with grouped heads, and with the size of a head, which stays."""
    if config.architecture != "transformer":
        return update
    before = config.num_key_value_heads or config.num_heads
    kept = update["num_heads"]
    if kept == before:
        return {**update, "num_heads": config.num_heads}
    shared = {"num_key_value_heads": kept} if config.num_key_value_heads else {}
    dim = config.head_dim or config.hidden_dim // config.num_heads
    return {**update, "num_heads": kept * (config.num_heads // before), "head_dim": dim, **shared}


def _kept(size: Any, share: float, named: bool, words: str, where: str) -> Any:
    """What stays of a size, or of each of a list; of a part that only `keep` means at least 1."""
    if isinstance(size, list):
        return [_kept(each, share, named, words, where) for each in size]
    kept = int(size * share + 0.5)
    if kept == 0 and named:
        raise ConfigError(
            f"{where}: found {share:g} of {size} {words}, which leaves none, expected at least {1 / size:.2g}"
        )
    return max(1, kept)
