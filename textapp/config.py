"""One YAML is one run: read and checked against frozen models.

A field whose default is `None` depends on the data or on the architecture: defaults.py fills it. Nothing outside this
module reads YAML keys by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from textapp.errors import ConfigError, did_you_mean


def one_of(expected: str) -> WrapValidator:
    """One line for a value that fits no branch of a union, instead of one line a branch."""

    def checked(value: Any, union: ValidatorFunctionWrapHandler) -> Any:
        try:
            return union(value)
        except ValidationError as error:
            raise ValueError(f"expected {expected}") from error

    return WrapValidator(checked)


CleaningStep = Literal["nfkc", "lowercase", "html", "urls", "whitespace", "full_width"]
Device = Literal["auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu"]
Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Source = Annotated[Union[str, list[str]], one_of("a path, a glob, or a list of them")]
ShareOrSource = Annotated[
    Union[Share, str, list[str]], one_of("a share between 0 and 1, a path, a glob, or a list of them")
]
Column = Annotated[
    Union[Annotated[int, Field(ge=0)], str, list[str]], one_of("a name, a list of names, or a number from 0")
]
Header = Annotated[Union[Literal["auto"], bool], one_of("auto, true or false")]
ClassWeights = Annotated[
    Union[Literal["balanced"], dict[str, Annotated[float, Field(gt=0)]]],
    one_of("balanced, or a number over 0 for each label, {good: 1.0, bad: 3.0}"),
]

TEXT_NAMES = ("text", "sentence", "content", "review", "question", "title", "text_a", "sentence1", "premise")
LABEL_NAMES = ("label", "labels", "class", "category", "sentiment", "target", "topic", "intent", "star", "stars")


class Model(BaseModel):
    """The base of every part: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())


class Columns(Model):
    """Where the fields of a record stand: a name, names that may stand for it, or a number counted from 0."""

    text: Column = Field(default=list(TEXT_NAMES), description="the text to classify")
    text_pair: Column | None = Field(default=None, description="the second text of a pair")
    label: Column = Field(default=list(LABEL_NAMES), description="the answer")

    def given(self) -> dict[str, int | list[str]]:
        """The columns in use, as `{field: number or list of names}`."""
        fields = {"text": self.text, "text_pair": self.text_pair, "label": self.label}
        return {
            field: [column] if isinstance(column, str) else column
            for field, column in fields.items()
            if column is not None
        }


class Data(Model):
    """The files of examples and how to read them."""

    train: Source = Field(description="a path, a glob or a list: .csv .tsv .jsonl .json .txt, each also .gz")
    validation: ShareOrSource = Field(default=0.1, description="files, or a share of train")
    test: ShareOrSource | None = Field(default=None, description="files, or a share of train")
    columns: Columns = Field(default=Columns(), description="where text, text_pair and label stand")
    header: Header = Field(default="auto", description="does the first line name the columns?")
    pattern: str | None = Field(default=None, description="a regular expression with groups text and label, per line")
    language: str | None = Field(default=None, description="en, zh, ...; None: told from the script of the texts")
    labels: Literal["single", "multiple"] = Field(default="single", description="one label a text, or several")

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        import re

        if pattern is not None:
            try:
                groups = re.compile(pattern).groupindex
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
            if "text" not in groups:
                raise ValueError("has no group named 'text': write (?P<text>...)")
        return pattern


class TokenizerConfig(Model):
    """How text becomes ids."""

    kind: Literal["sentencepiece", "wordpiece", "bpe", "characters", "preset"] | None = Field(
        default=None, description="sentencepiece is the unigram model, bpe its byte-pair model; None: by language"
    )
    vocabulary_size: Annotated[int, Field(ge=16)] | None = Field(default=None, description="in tokens; None: by data")


class MlpModel(Model):
    """A bag of embeddings of tokens and token n-grams: the fastText of this house (Joulin et al., 2016)."""

    architecture: Literal["mlp"]
    dropout: Rate | None = Field(default=None, description="share of units dropped while training")
    embedding_dim: Count | None = Field(default=None, description="numbers a token")
    hidden_dims: list[Count] | None = Field(default=None, description="Dense layers after the mean; [] for none")
    ngrams: Annotated[int, Field(ge=1, le=5)] | None = Field(default=None, description="longest n-gram, in tokens")
    batch_normalization: bool = False
    vectors: str | None = Field(default=None, description="pretrained word vectors, a text .vec file")


class CnnModel(Model):
    """Parallel convolutions with max-over-time pooling (Kim, 2014)."""

    architecture: Literal["cnn"]
    dropout: Rate | None = None
    embedding_dim: Count | None = None
    filters: Count | None = Field(default=None, description="filters a kernel size")
    kernel_sizes: list[Count] | None = Field(default=None, description="window lengths in tokens")
    batch_normalization: bool = False
    vectors: str | None = None


class LstmModel(Model):
    """Stacked LSTM layers (Hochreiter and Schmidhuber, 1997), read at the last real token."""

    architecture: Literal["lstm"]
    dropout: Rate | None = None
    embedding_dim: Count | None = None
    units: list[Count] | None = Field(default=None, description="units of each layer, bottom first")
    bidirectional: bool | None = None
    dense_units: Annotated[int, Field(ge=0)] | None = Field(default=None, description="ReLU layer after it; 0: none")
    vectors: str | None = None


class TransformerModel(Model):
    """A pre-norm Transformer (Vaswani et al., 2017; Xiong et al., 2020)."""

    architecture: Literal["transformer"]
    dropout: Rate | None = None
    embedding_dim: Count | None = Field(default=None, description="None: hidden_dim")
    hidden_dim: Count | None = None
    num_layers: Count | None = None
    num_heads: Count | None = None
    num_key_value_heads: Count | None = Field(default=None, description="None: num_heads")
    intermediate_dim: Count | None = Field(default=None, description="None: 4 * hidden_dim")
    positions: Literal["learned", "sinusoidal", "rope"] = "learned"
    activation: Literal["gelu", "relu", "swiglu"] = "gelu"
    vectors: str | None = None


class PresetModel(Model):
    """A KerasHub text backbone with its weights: a preset name, or a folder in KerasHub or Hugging Face layout."""

    architecture: Literal["preset"]
    path: str = Field(description="a preset name or a local folder")
    dropout: Rate | None = None


ModelConfig = Annotated[
    Union[MlpModel, CnnModel, LstmModel, TransformerModel, PresetModel], Field(discriminator="architecture")
]


class Training(Model):
    """How the weights are found. `batch_size` is the global one, over all replicas and workers."""

    epochs: Count | None = Field(default=None, description="passes over the training data at most")
    batch_size: Count | None = Field(default=None, description="examples a step, over all replicas")
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    optimizer: Literal["adam", "adamw", "adafactor", "sgd"] | None = None
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    device: Device = "auto"
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    schedule: Literal["constant", "linear", "cosine", "inverse_sqrt"] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    label_smoothing: Rate = 0.0
    class_weights: ClassWeights | None = None
    patience: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="epochs without a gain; 0: never stop"
    )
    monitor: Literal["accuracy", "f1_macro", "loss"] = "accuracy"
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    xla: bool = False


class Config(Model):
    """A whole run."""

    task: Literal["classification"]
    run: str = Field(description="the folder that the run makes, saved_models/NAME")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    data: Data
    cleaning: list[CleaningStep] | None = None
    tokenizer: TokenizerConfig | None = None
    lengths: list[Annotated[int, Field(ge=1, le=4096)]] | None = Field(default=None, description="buckets in tokens")
    model: ModelConfig
    training: Training = Training()

    @field_validator("lengths")
    @classmethod
    def _lengths_ascend(cls, lengths: list[int] | None) -> list[int] | None:
        if lengths is not None and (not lengths or lengths != sorted(set(lengths))):
            raise ValueError(f"expected ascending lengths such as [16, 32, 64], found {lengths}")
        return lengths

    @model_validator(mode="after")
    def _parts_fit(self) -> Config:
        preset_tokens = self.tokenizer is not None and self.tokenizer.kind == "preset"
        if preset_tokens != (self.model.architecture == "preset") and self.tokenizer is not None:
            raise ValueError("tokenizer.kind 'preset' and model.architecture 'preset' go together, or neither is given")
        if self.model.architecture == "transformer":
            hidden, heads = self.model.hidden_dim, self.model.num_heads
            if hidden and heads and hidden % heads:
                raise ValueError(f"model.hidden_dim {hidden} is not a multiple of model.num_heads {heads}")
        return self


# --- reading -------------------------------------------------------------------------------------------------------


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads one YAML config and applies `--set key=value` overrides, whose values are YAML.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or a value is not allowed.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; expected a YAML config (configs/ holds complete ones)") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected keys such as task, run, data and model, found {type(raw).__name__}")
    for override in overrides:
        _override(raw, override)
    return parse_config(raw, source=str(path))


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as --set training.epochs=1")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML: {' '.join(str(error).split())}") from error
    *parents, last = key.strip().split(".")
    node = raw
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ConfigError(f"--set {override}: '{parent}' holds a value, not keys")
    node[last] = value


def parse_config(raw: Mapping[str, Any], source: str = "config") -> Config:
    """Checks a mapping as read from YAML. `source` names it in errors.

    Raises:
        ConfigError: every fault in one message, each with its key, what was found and what was expected.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        lines = dict.fromkeys(_explain(fault, raw) for fault in error.errors())
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from error


def _explain(fault: Mapping[str, Any], raw: Any) -> str:
    """One line for one fault: the key, what was found, what was expected."""
    keys, found = _locate(fault["loc"], raw)
    name = ".".join(keys)
    if fault["type"] == "extra_forbidden":
        known = _known_keys(fault["loc"][:-1])
        return f"unknown key '{name}'{did_you_mean(keys[-1], known)} (known here: {', '.join(known)})"
    if fault["type"] == "missing":
        return f"the key '{name}' is missing"
    if fault["type"].startswith("union_tag"):
        architectures = [get_args(part.model_fields["architecture"].annotation)[0] for part in _model_parts()]
        given = found.get("architecture") if isinstance(found, Mapping) else found
        return (
            f"model.architecture: found {given!r}, expected one of {', '.join(architectures)}"
            f"{did_you_mean(str(given), architectures)}"
        )
    message = fault["msg"].removeprefix("Value error, ")
    return f"{name}: found {found!r}: {message}" if name else message


def _locate(location: Iterable[Any], raw: Any) -> tuple[list[str], Any]:
    """Drops from pydantic's location what stands for a branch of a union, and finds the value that stands there."""
    keys: list[str] = []
    node = raw
    for part in location:
        listed = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if listed or (isinstance(node, Mapping) and part in node):
            node = node[part]
        elif isinstance(node, Mapping) and isinstance(part, str) and not _is_branch(part):
            node = None
        else:
            continue
        keys.append(str(part))
    return keys, node


def _model_parts() -> tuple[type[Model], ...]:
    return get_args(get_args(ModelConfig)[0])


def _is_branch(part: str) -> bool:
    tags = {get_args(model.model_fields["architecture"].annotation)[0] for model in _model_parts()}
    return part in tags


def _known_keys(location: Sequence[Any]) -> list[str]:
    parts = {model.model_fields["architecture"].annotation: model for model in _model_parts()}
    by_tag = {get_args(annotation)[0]: model for annotation, model in parts.items()}
    models: dict[str, type[Model]] = {
        "data": Data, "columns": Columns, "tokenizer": TokenizerConfig, "training": Training, **by_tag
    }  # fmt: skip
    for part in reversed(location):
        if part in models:
            return list(models[part].model_fields)
    return list(Config.model_fields)


def data_directory(option: str | Path | None = None) -> Path:
    """Where relative data paths start: `--data-dir`, else `TEXTAPP_DATA`, else the working directory."""
    return Path(option or os.environ.get("TEXTAPP_DATA") or ".")


# --- writing and comparing -----------------------------------------------------------------------------------------


def save_config(config: Config, path: Path) -> None:
    """Writes the config as YAML that `load_config` reads back equal."""
    path.write_text(
        yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True, sort_keys=False), encoding="utf-8"
    )


def differing_key(one: Config, other: Config) -> str | None:
    """The first key, in dotted form, at which two configs differ; None where they are equal."""
    return _differing(one.model_dump(mode="json"), other.model_dump(mode="json"))


def _differing(one: Any, other: Any, name: str = "") -> str | None:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            found = _differing(one.get(key), other.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    return None if one == other else name
