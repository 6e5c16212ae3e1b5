"""A whole run: what a config holds, and what must fit together in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Field, field_validator, model_validator

from textapp.config.data import Data
from textapp.config.model import ModelConfig, TransformerModel
from textapp.config.parts import Count, Model, Rate, one_of
from textapp.config.tasks import misfits

CleaningStep = Literal["nfkc", "lowercase", "html", "urls", "whitespace", "full_width"]
Device = Literal["auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu"]


def _as_label(key: Any) -> str:
    """A label as records have it: YAML reads `0` and `true` as other things than strings."""
    return str(key).lower() if isinstance(key, bool) else str(key)


Label = Annotated[str, BeforeValidator(_as_label)]
ClassWeights = Annotated[
    Union[Literal["balanced"], dict[Label, Annotated[float, Field(gt=0)]]],
    one_of("balanced, or a number over 0 for each label, {good: 1.0, bad: 3.0}"),
]
GenerateLengths = Annotated[
    list[tuple[Count, Count]], one_of("pairs of tokens read and new tokens, such as [[16, 24], [32, 48]]")
]


class TokenizerConfig(Model):
    """How text becomes ids."""

    kind: Literal["sentencepiece", "wordpiece", "bpe", "characters", "preset"] | None = Field(
        default=None, description="sentencepiece is the unigram model, bpe its byte-pair model; None: by language"
    )
    vocabulary_size: Annotated[int, Field(ge=16)] | None = Field(default=None, description="in tokens; None: by data")
    shared: bool | None = Field(
        default=None, description="translation: one vocabulary for both sides; None: where both have the same script"
    )


class Training(Model):
    """How the weights are found. `batch_size` is the global one, over all replicas and workers."""

    epochs: Count | None = Field(default=None, description="passes over the training data at most")
    batch_size: Count | None = Field(default=None, description="examples a step, over all replicas")
    batch_tokens: Count | None = Field(
        default=None, description="target tokens and padding a step, instead of batch_size"
    )
    gradient_accumulation_steps: Count = Field(default=1, description="batches whose gradients make one update")
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    optimizer: Literal["adam", "adamw", "adafactor", "sgd"] | None = None
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    device: Device = "auto"
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    schedule: Literal["constant", "linear", "cosine", "inverse_sqrt"] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    label_smoothing: Rate | None = Field(default=None, description="None: 0.1 for translation, else 0")
    class_weights: ClassWeights | None = None
    patience: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="epochs without a gain; 0: never stop"
    )
    monitor: Literal["accuracy", "f1_macro", "loss", "bleu", "chrf", "perplexity"] | None = Field(
        default=None, description="decides which epoch is kept; None: accuracy, bleu or perplexity, by task"
    )
    average_checkpoints: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="the weights of the last so many epochs are averaged; 0: those of the best epoch"
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    xla: bool = False


class Config(Model):
    """A whole run."""

    task: Literal["classification", "translation", "generation"]
    run: str = Field(description="the folder that the run makes, saved_models/NAME")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    data: Data
    cleaning: list[CleaningStep] | None = None
    tokenizer: TokenizerConfig | None = None
    lengths: list[Annotated[int, Field(ge=1, le=4096)]] | None = Field(
        default=None, description="buckets in tokens; translation: of the source; generation: the last is the context"
    )
    generate_lengths: GenerateLengths | None = Field(
        default=None, description="[read, new] in tokens for each signature generate_<read>_<new>; None: by data"
    )
    model: ModelConfig
    training: Training = Training()

    @property
    def running_text(self) -> bool:
        """Is this generation from text that runs on, where a file is one document? `.txt` files say so."""
        names = [self.data.train] if isinstance(self.data.train, str) else self.data.train
        return self.task == "generation" and all(name.lower().removesuffix(".gz").endswith(".txt") for name in names)

    @field_validator("run")
    @classmethod
    def _run_has_a_name(cls, run: str) -> str:
        if Path(run).name in ("", ".."):
            raise ValueError("expected a folder of its own, such as saved_models/reviews")
        return run

    @field_validator("lengths")
    @classmethod
    def _lengths_ascend(cls, lengths: list[int] | None) -> list[int] | None:
        if lengths is not None and (not lengths or lengths != sorted(set(lengths))):
            raise ValueError(f"expected ascending lengths such as [16, 32, 64], found {lengths}")
        return lengths

    @field_validator("generate_lengths")
    @classmethod
    def _generate_lengths_ascend(cls, pairs: list[tuple[int, int]] | None) -> list[tuple[int, int]] | None:
        read, new = zip(*pairs, strict=True) if pairs else ((), ())
        if pairs is not None and (not pairs or list(read) != sorted(set(read))):
            raise ValueError("expected pairs whose first numbers ascend, such as [[16, 24], [32, 48]]")
        return pairs

    @model_validator(mode="after")
    def _parts_fit(self) -> Config:
        lines = [*misfits(self), *self._lengths_misfits(), *self._model_misfits()]
        if self.training.batch_size is not None and self.training.batch_tokens is not None:
            lines.append("training.batch_size and training.batch_tokens: found both, expected one of them")
        if lines:
            raise ValueError("\n".join(lines))
        return self

    def _model_misfits(self) -> list[str]:
        lines, model = [], self.model
        preset_tokens = self.tokenizer is not None and self.tokenizer.kind == "preset"
        if preset_tokens != (model.architecture == "preset") and self.tokenizer is not None:
            lines.append("tokenizer.kind 'preset' and model.architecture 'preset' go together, or neither is given")
        if model.architecture == "transformer":
            lines += _head_misfits(model)
        return lines

    def _lengths_misfits(self) -> list[str]:
        """A signature reads what the model can take: at most the longest bucket, or with new tokens the context."""
        if self.generate_lengths is None or self.lengths is None or self.task == "classification":
            return []
        most = self.lengths[-1]
        if self.task == "generation":
            return [
                f"generate_lengths: found [{read}, {new}], together more than the context of {most} tokens (lengths)"
                for read, new in self.generate_lengths
                if read + new > most
            ]
        return [
            f"generate_lengths: found a source of {read} tokens, expected at most {most}, the longest of lengths"
            for read, _ in self.generate_lengths
            if read > most
        ]


def _head_misfits(model: TransformerModel) -> list[str]:
    """The heads share the hidden numbers evenly, and a query head its keys with a whole number of others."""
    hidden, heads, shared = model.hidden_dim, model.num_heads, model.num_key_value_heads
    lines = []
    if hidden and heads and hidden % heads:
        lines.append(f"model.hidden_dim {hidden} is not a multiple of model.num_heads {heads}")
    elif hidden and heads and model.positions == "rope" and hidden // heads % 2:
        lines.append(
            f"model.positions rope turns pairs of numbers: found {hidden // heads} numbers a head"
            f" (model.hidden_dim {hidden}, model.num_heads {heads}), expected an even number"
        )
    if heads and shared and heads % shared:
        lines.append(f"model.num_heads {heads} is not a multiple of model.num_key_value_heads {shared}")
    return lines
