"""The whole config of a run, and checks across its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from textapp.config.data import FILES, Data
from textapp.config.model import ModelConfig
from textapp.config.parts import Count, Float, Int, Model, PathText, Rate, one_of, shown
from textapp.config.tasks import Known, misfits
from textapp.errors import did_you_mean

CleaningStep = Literal["nfkc", "lowercase", "html", "urls", "whitespace", "full_width"]
Device = Literal["auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu"]


def _as_label(key: Any) -> str:
    """A label as a string, as in records: YAML reads `0` and `true` as other types."""
    return str(key).lower() if isinstance(key, bool) else str(key)


Label = Annotated[str, BeforeValidator(_as_label)]
ClassWeights = Annotated[
    Union[Literal["balanced"], dict[Label, Annotated[Float, Field(gt=0)]]],
    one_of("balanced, or a weight above 0 for each label, such as {good: 1.0, bad: 3.0}"),
]
GenerateLengths = Annotated[
    list[tuple[Count, Count]], one_of("pairs of input length and new tokens, such as [[16, 24], [32, 48]]")
]


class TokenizerConfig(Model):
    """The `tokenizer` part of a config."""

    kind: Literal["sentencepiece", "wordpiece", "bpe", "characters", "preset"] | None = Field(
        default=None, description="sentencepiece: unigram model; bpe: byte-pair model; None: by language"
    )
    vocabulary_size: Annotated[Int, Field(ge=16)] | None = Field(
        default=None, description="number of tokens; None: by data"
    )
    path: PathText | None = Field(
        default=None, description="of kind preset, for a model trained from scratch: the preset whose tokenizer it has"
    )
    shared: bool | None = Field(
        default=None, description="translation: one vocabulary for both sides; None: if both have the same script"
    )


class Training(Model):
    """The `training` part of a config. `batch_size` is global, over all replicas and workers."""

    epochs: Annotated[Int, Field(ge=0)] | None = Field(
        default=None, description="maximum number of passes over the training data; 0: a preset as it is"
    )
    batch_size: Count | None = Field(default=None, description="examples per batch, over all replicas")
    batch_tokens: Count | None = Field(
        default=None, description="tokens per batch, padding included; instead of batch_size"
    )
    gradient_accumulation_steps: Count = Field(
        default=1, description="batches per update, which moves the weights as one batch of all their rows would"
    )
    learning_rate: Annotated[Float, Field(gt=0)] | None = None
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = Field(
        default="none", description="factor of learning_rate: 1, or the number of replicas, or its square root"
    )
    optimizer: Literal["adam", "adamw", "adafactor", "sgd"] | None = None
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    device: Device = "auto"
    warmup_steps: Annotated[Int, Field(ge=0)] | None = None
    schedule: Literal["constant", "linear", "cosine", "inverse_sqrt"] | None = None
    weight_decay: Annotated[Float, Field(ge=0)] | None = None
    label_smoothing: Rate | None = Field(default=None, description="None: 0.1 for translation, else 0")
    class_weights: ClassWeights | None = None
    patience: Annotated[Int, Field(ge=0)] | None = Field(
        default=None, description="epochs without improvement before training stops; 0: never stop"
    )
    monitor: str | None = Field(
        default=None, description="figure that selects the best epoch; None: accuracy, bleu or perplexity, by task"
    )
    average_checkpoints: Annotated[Int, Field(ge=0)] | None = Field(
        default=None, description="average the weights of this many last epochs; 0: take the best epoch"
    )
    clip_norm: Annotated[Float, Field(gt=0)] | None = None
    xla: bool = False

    @property
    def static_shapes(self) -> bool:
        """Whether batches have to have few shapes: XLA compiles a program for each, on a TPU always."""
        return self.device == "tpu" or self.xla


class Config(Model):
    """The config of a run."""

    task: str = Field(description="classification, question_answering, translation or generation")
    mode: Literal["extractive", "generative"] | None = Field(
        default=None,
        description="question answering: extractive finds the answer in the context, generative writes it; None:"
        " extractive",
    )
    run: PathText = Field(description="run folder, such as saved_models/reviews")
    seed: Annotated[Int, Field(ge=0, lt=2**31)] = 7
    data: Data = Data()
    cleaning: list[CleaningStep] | None = None
    tokenizer: TokenizerConfig | None = None
    lengths: list[Annotated[Int, Field(ge=1, le=4096)]] | None = Field(
        default=None,
        description="buckets in tokens; translation: of the source; generation: the last one is the context",
    )
    generate_lengths: GenerateLengths | None = Field(
        default=None, description="[input, new] tokens of each signature generate_<input>_<new>; None: by data"
    )
    stride: Count | None = Field(
        default=None, description="question answering: tokens from one window of a context to the next; None: 128"
    )
    max_answer_tokens: Count | None = Field(
        default=None, description="question answering: maximum number of tokens of an answer; None: by data"
    )
    max_windows: Count | None = Field(
        default=None, description="question answering: windows of one context that are read; None: 64"
    )
    model: ModelConfig
    training: Training = Training()

    @field_validator("task")
    @classmethod
    def _task_is_known(cls, task: str, info: ValidationInfo) -> str:
        known: Known | None = info.context
        if known is not None and task not in known:
            raise ValueError(f"expected one of {', '.join(known)}{did_you_mean(task, known)}")
        return task

    @field_validator("run")
    @classmethod
    def _run_has_a_name(cls, run: str) -> str:
        if Path(run).name in ("", ".."):
            raise ValueError("expected a folder with a name, such as saved_models/reviews")
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
    def _parts_fit(self, info: ValidationInfo) -> Config:
        known: Known | None = info.context
        lines = misfits(self, known) if known else []
        lines += self._without_training()
        if self.training.batch_size is not None and self.training.batch_tokens is not None:
            lines.append(
                "training.batch_size and training.batch_tokens: found both, expected one of them: leave one out"
            )
        if self.stride is not None and self.lengths and self.stride >= self.lengths[-1]:
            lines.append(
                f"stride: found {self.stride}, expected less than the longest of lengths, {self.lengths[-1]}, so that"
                f" windows overlap: take a third of it, or leave stride out"
            )
        lines += self._preset_tokenizer()
        if lines:
            raise ValueError("\n".join(lines))
        return self

    def _preset_tokenizer(self) -> list[str]:
        """An error message if tokenizer and model do not go together, as a preset has its own tokenizer."""
        tokenizer = self.tokenizer
        if tokenizer is None:
            return []
        preset, pretrained, path = tokenizer.kind == "preset", self.model.pretrained, tokenizer.path
        if path is not None and (pretrained or not preset):
            why = "a preset has a tokenizer of its own" if pretrained else "only one of kind preset is read from there"
            return [f"tokenizer.path: found {shown(path)}, but {why}: leave it out"]
        if preset != pretrained and path is None:
            return [
                "tokenizer.kind 'preset' and model.architecture 'preset': found one of them, expected both or neither"
                + ("; or tokenizer.path, the preset whose tokenizer is taken" if preset else "")
            ]
        return []

    def _without_shares(self) -> list[str]:
        """Error messages for splits that would be a share of texts that are not read."""
        return [
            f"data.{name}: found {share:g}, a share of the training texts, expected files, as with data.prepared these "
            "texts are not read"
            for name, share in self.data.shares.items()
        ]

    def _without_training(self) -> list[str]:
        """An error message for a run without training data, or without training, that cannot be."""
        if self.training.epochs != 0:
            if self.data.prepared is not None:
                return self._without_shares()
            if self.data.train is not None:
                return []
            if "train" in self.data.model_fields_set:
                return [f"data.train: found nothing: expected {FILES}"]
            missing = "data" if "data" not in self.model_fields_set else "data.train"
            return [f"the key '{missing}' is missing"]
        if not self.model.pretrained:
            return [
                f"training.epochs: found 0, which makes a run of a preset as it is, but a {self.model.architecture} "
                "starts from random weights: expected 1 or more, or model.architecture preset"
            ]
        if self.data.prepared is not None:
            return ["data.prepared: found a folder, but with training.epochs 0 nothing is trained: leave it out"]
        if self.data.train is None and isinstance(self.data.test, float):
            return ["data.test: found a share of data.train, which is missing; expected files, or no such key"]
        if self.model.training_form:
            return ["model.lora_rank: found a rank, but with training.epochs 0 nothing is trained: leave it out"]
        return []
