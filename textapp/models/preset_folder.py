"""A published folder in Hugging Face's layout: its config.json and its weights, each checked before it is believed.

A field of the config that changes what a model computes is read or refused, and so is a tensor: see `Folder`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textapp.errors import ConfigError
from textapp.text.preset_files import DOWNLOAD, check_file, read_json

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_FLOATS = ("F16", "BF16", "F32", "F64")
# Buffers that a model computes itself, and the heads of other tasks.
_NO_WEIGHTS = (
    "*rotary_emb.inv_freq",
    "*.attn.bias",
    "*.attn.masked_bias",
    "*position_ids",
    "*.relative_position_index",
)
_SHOWN = 4  # names in a message


def published(path: str) -> Folder | None:
    """Opens a folder in Hugging Face's layout; None: the path is another folder or the name of a preset.

    Raises:
        ConfigError: it is such a folder, but unfinished or not one of a model.
    """
    folder = Path(path)
    if not folder.is_dir():
        return None
    config = read_json(folder / CONFIG)
    if "registered_name" in config or "class_name" in config or (folder / "model.weights.h5").is_file():
        return None  # KerasHub's layout
    if (folder / "adapter_config.json").is_file() and "model_type" not in config:
        raise ConfigError(
            f"model.path: {path}: found an adapter (adapter_config.json), expected a whole model: merge it into its "
            "base model with merge_and_unload() of the package peft and save that"
        )
    if not config:
        raise ConfigError(
            f"model.path: {path}: found no config.json among {_contents(folder)}; expected a folder in Hugging Face "
            "layout (config.json, model.safetensors, tokenizer.json) or in KerasHub layout (config.json, "
            "model.weights.h5, tokenizer.json)"
        )
    if not isinstance(config.get("model_type"), str):
        raise ConfigError(
            f"model.path: {folder / CONFIG}: found no model_type, expected one such as 'llama': {DOWNLOAD}"
        )
    return Folder(folder, config)


class Folder:
    """A published folder. Values are read with their key checked; tensors are counted as they are taken.

    Args:
        path: the folder.
        config: the object of its config.json.

    Attributes:
        kind: its `model_type`.
        where: the file that names the kind.
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path, self.config, self.kind = path, config, str(config["model_type"])
        self.where = path / CONFIG
        self._taken: set[str] = set()
        self.prefix = ""

    # --- the config ---

    def size(self, key: str, default: int | None = None) -> int:
        """A whole number from 1.

        Raises:
            ConfigError: it is missing or something else.
        """
        value = self.config.get(key)
        value = default if value is None else value
        if type(value) is not int or value < 1:
            raise self.fault(key, "a whole number from 1")
        return value

    def number(self, key: str, default: float) -> float:
        """A positive number.

        Raises:
            ConfigError: it is something else.
        """
        value = self.config.get(key)
        value = default if value is None else value
        if type(value) not in (int, float) or not value > 0:
            raise self.fault(key, "a positive number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false.

        Raises:
            ConfigError: it is something else.
        """
        value = self.config.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self.fault(key, "true or false")
        return value

    def choice(self, key: str, names: Mapping[str, str], default: str) -> str:
        """What `names` gives for a text.

        Args:
            key: of the config.
            names: published name -> ours.
            default: published name where the config has none.

        Raises:
            ConfigError: the text is none of them.
        """
        value = self.config.get(key)
        value = default if value is None else value
        if not isinstance(value, str) or value not in names:
            raise self.fault(key, f"one of {', '.join(names)}")
        return names[value]

    def require(self, **expected: Any) -> None:
        """Checks fields that change what a model computes in a way that is not served.

        Args:
            expected: the value of each that is served, or a tuple of them; a missing field and null always are.

        Raises:
            ConfigError: one has another value.
        """
        for key, values in expected.items():
            value = self.config.get(key)
            values = values if isinstance(values, tuple) else (values,)
            if value is not None and value not in values:
                raise self.fault(key, (" or ".join(map(repr, values)) or "nothing") + ", others are not served")

    def fault(self, key: str, expected: str) -> ConfigError:
        """The error for a field of the config."""
        found = repr(self.config[key])[:200] if key in self.config else "nothing"
        return ConfigError(
            f"model.path: {self.path / CONFIG}: {key} of model_type {self.kind}: found {found}, expected {expected}; "
            "take another model"
        )

    # --- the weights ---

    def begin(self, probe: str, *prefixes: str) -> None:
        """Finds what the names of the tensors begin with: `model.` in a language model, nothing in its backbone.

        Args:
            probe: a tensor that every model of the kind has, without its prefix.
            prefixes: to try.

        Raises:
            ConfigError: none of them, or no weights that can be read.
        """
        if self.config.get("quantization_config") is not None:
            raise self.fault("quantization_config", "nothing: weights in float32, float16 or bfloat16")
        code = self.config.get("auto_map")
        if isinstance(code, dict) and any(str(name).startswith("AutoModel") for name in code):
            raise self.fault("auto_map", "a model that needs no Python code of its own")
        names = self._places
        for prefix in (*prefixes, ""):
            if prefix + probe in names:
                self.prefix = prefix
                return
        self._missing(prefixes[0] + probe if prefixes else probe)

    @property
    def names(self) -> Mapping[str, str]:
        """The file of each tensor, by its whole name."""
        return self._places

    def has(self, name: str) -> bool:
        """Whether there is a tensor of this name, without the prefix."""
        return self.prefix + name in self._places

    def tensor(self, name: str, *shape: int, whole_name: bool = False) -> np.ndarray:
        """A tensor as float32.

        Args:
            name: without the prefix.
            shape: the expected one.
            whole_name: the name has no prefix.

        Raises:
            ConfigError: it is missing, of another shape or type, or its file is damaged.
        """
        name = name if whole_name else self.prefix + name
        if name not in self._places:
            self._missing(name)
        file = self.path / self._places[name]
        with _opened(file) as opened:
            part = opened.get_slice(name)
            found, kind = tuple(part.get_shape()), part.get_dtype()
            if kind not in _FLOATS:
                raise ConfigError(
                    f"model.path: {file}: found {name} in {kind}, a quantized model; expected float32, float16 or "
                    "bfloat16: take the model before it was quantized"
                )
            if found != shape:
                raise ConfigError(
                    f"model.path: {file}: found {name} of shape {list(found)}, expected {list(shape)} by {CONFIG}: "
                    "take both files from the same model"
                )
            values = opened.get_tensor(name)
        self._taken.add(name)
        return np.asarray(values, np.float32)

    def rope_divisors(self, pairs: int) -> np.ndarray | None:
        """What divides the rotation of each pair of a head, `[pairs]`; None: the config says how it is scaled."""
        return None

    def finish(self, *heads: str, outside: bool = True) -> None:
        """Checks that every tensor of the model was taken.

        Args:
            heads: patterns of the names of other tasks' layers, which are left out.
            outside: also look at the tensors without the prefix; False: they are heads.

        Raises:
            ConfigError: some were not, so the model is another one than its config says.
        """
        known = (*_NO_WEIGHTS, *heads)
        rest = [
            name
            for name in self._places
            if name not in self._taken
            and (outside or name.startswith(self.prefix))
            and not any(fnmatch.fnmatchcase(name.removeprefix(self.prefix), pattern) for pattern in known)
        ]
        if rest:
            raise ConfigError(
                f"model.path: {self.path}: found tensors that a model of type {self.kind} with this {CONFIG} does not "
                f"have: {_names(rest)}; expected files of one model: download the folder again, or take another model"
            )

    @functools.cached_property
    def _places(self) -> dict[str, str]:
        """The file of each tensor."""
        if (self.path / INDEX).is_file():
            places = read_json(self.path / INDEX).get("weight_map")
            if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
                raise ConfigError(
                    f"model.path: {self.path / INDEX}: found no weight_map from tensors to files: {DOWNLOAD}"
                )
            shards = sorted(set(places.values()))
            lacking = [file for file in shards if not (self.path / Path(file).name).is_file()]
            if lacking:
                raise ConfigError(
                    f"model.path: {self.path}: found {len(shards) - len(lacking)} of {len(shards)} files of weights, "
                    f"{_names(lacking)} missing: download what {INDEX} names"
                )
            return {name: Path(file).name for name, file in places.items()}
        if not (self.path / WEIGHTS).is_file():
            raise ConfigError(self._without_weights())
        with _opened(self.path / WEIGHTS) as opened:
            return dict.fromkeys(opened.keys(), WEIGHTS)

    def _without_weights(self) -> str:
        pickled = sorted(file.name for file in self.path.glob("pytorch_model*.bin"))
        expected = f"expected {WEIGHTS}, or shards with {INDEX}"
        if pickled:
            return (
                f"model.path: {self.path}: found {_names(pickled)}, a pickle, which can run code and is not opened; "
                f"{expected}: convert it with the package transformers, "
                "AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
            )
        shards = sorted(file.name for file in self.path.glob("*.safetensors"))
        if shards:
            return f"model.path: {self.path}: found {_names(shards)} without {INDEX}; {expected}: download it as well"
        return f"model.path: {self.path}: found no weights among {_contents(self.path)}; {expected}"

    def _missing(self, name: str) -> None:
        raise ConfigError(
            f"model.path: {self.path}: found no tensor {name} among {len(self._places)}, such as "
            f"{_names(list(self._places))}; expected a whole model of type {self.kind}: download the folder again"
        )


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    check_file(file)
    try:
        with safe_open(str(file), framework="np") as opened:
            yield opened
    except SafetensorError as error:
        raise ConfigError(
            f"model.path: {file}: found a damaged or partly downloaded file of {file.stat().st_size:,} bytes "
            f"({error}), expected safetensors: {DOWNLOAD}"
        ) from error


def _contents(folder: Path) -> str:
    return _names(sorted(file.name for file in folder.iterdir())) or "nothing"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
