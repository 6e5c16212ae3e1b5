"""The `model` part of a config: a class for each architecture, with its roles and its default sizes.

The file of the same name in models/ builds it. `TaskKeys` lists which fields a task uses.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args

from pydantic import Field, field_validator, model_validator

from textapp.config.parts import Count, Counts, Int, Model, PathText, Rate

Role = Literal["encoder", "reader", "decoder", "encoder-decoder"]
LONG = 32  # median tokens per text; from this length on an mlp is initialised by naive Bayes
# Names of the dropout of the sublayers' outputs in a published config.json: BERT, GPT-2, BART and KerasHub, T5.
DROPOUTS = ("hidden_dropout_prob", "resid_pdrop", "dropout", "dropout_rate")
LARGE = 5_000_000  # training tokens from which a language model is made wider


class Corpus(NamedTuple):
    """Properties of the training texts that determine the default size of a model.

    Attributes:
        token_counts: tokens of each training example; None before there is a tokenizer.
        characters: each token is one character.
        spaces: words are separated by spaces.
    """

    token_counts: Sequence[int] | None
    characters: bool = False
    spaces: bool = True

    @property
    def large(self) -> bool:
        return self.token_counts is not None and sum(self.token_counts) >= LARGE


class Architecture(Model):
    """Base class of the architectures.

    Attributes:
        roles: the roles that its file in models/ serves.
        attention: it consists of attention layers: bfloat16 pays, and it trains with AdamW and a warm-up.
        pretrained: it has pretrained weights and a tokenizer.
        subword_vectors: its token vectors are sums of subword vectors, so a vocabulary of words loses nothing.
    """

    roles: ClassVar[tuple[Role, ...]] = ("encoder",)
    attention: ClassVar[bool] = False
    pretrained: ClassVar[bool] = False
    subword_vectors: ClassVar[bool] = False

    architecture: str
    role: Literal["decoder", "encoder-decoder"] | None = Field(
        default=None,
        description="written answers: decoder, a language model, or encoder-decoder; None: encoder-decoder, but of a"
        " preset what it is",
    )

    @property
    def training_form(self) -> bool:
        """Whether it has parts that only training needs."""
        return False

    def defaults(self, role: Role, corpus: Corpus) -> dict[str, Any]:
        """The fields that a config leaves open, by role and data."""
        return {}

    def learning_rate(self, role: Role) -> float:
        """The default learning rate."""
        return 1e-3

    def misfits(self, task: str, role: Role) -> list[str]:
        """An error message for each field that conflicts with another one or with the role of the task."""
        return []


class MlpModel(Architecture):
    """A bag of embeddings of tokens and token n-grams, as in fastText (Joulin et al., 2016)."""

    subword_vectors = True

    architecture: Literal["mlp"]
    dropout: Rate | None = Field(default=None, description="dropout rate")
    embedding_dim: Count | None = Field(default=None, description="size of a token vector")
    hidden_dims: list[Count] | None = Field(default=None, description="Dense layers after the pooling; [] for none")
    ngrams: Annotated[Int, Field(ge=1, le=5)] | None = Field(default=None, description="tokens of the longest n-gram")
    subwords: list[Count] | None = Field(
        default=None, description="shortest and longest character n-gram of the subword vectors; [] for none"
    )
    naive_bayes: bool | None = Field(default=None, description="initialise by naive Bayes; pays on long texts")
    batch_normalization: bool = False
    vectors: PathText | None = Field(default=None, description="pretrained word vectors, a .vec text file")

    @field_validator("subwords")
    @classmethod
    def _subwords_are_a_range(cls, subwords: list[int] | None) -> list[int] | None:
        if subwords and (len(subwords) != 2 or subwords[0] > subwords[1]):
            raise ValueError("expected the shortest and the longest length, such as [3, 5], or []")
        return subwords

    @property
    def between_bag_and_logits(self) -> list[str]:
        """The fields in use that rule out naive Bayes: further layers, or pretrained vectors."""
        return [name for name in ("hidden_dims", "batch_normalization", "vectors") if getattr(self, name)]

    @model_validator(mode="after")
    def _naive_bayes_has_room(self) -> MlpModel:
        if self.naive_bayes and self.between_bag_and_logits:
            names = ", ".join(self.between_bag_and_logits)
            raise ValueError(f"naive_bayes true cannot be combined with {names}: leave one out")
        return self

    @property
    def training_form(self) -> bool:
        return bool(self.subwords)

    def defaults(self, role: Role, corpus: Corpus) -> dict[str, Any]:
        # Where words have spaces, n-grams of one or two characters mean little.
        subwords = [3, 5] if corpus.spaces else [1, 3]
        if corpus.characters or self.vectors:  # pretrained vectors are used unchanged
            subwords = []
        naive_bayes = None  # not known before there are token counts
        if corpus.token_counts is not None:
            naive_bayes = bool(statistics.median(corpus.token_counts) >= LONG) and not self.between_bag_and_logits
        return {
            "dropout": 0.0, "embedding_dim": 10, "hidden_dims": [], "ngrams": 3 if corpus.characters else 2,
            "subwords": subwords, "naive_bayes": naive_bayes,
        }  # fmt: skip


class CnnModel(Architecture):
    """Parallel convolutions with max-over-time pooling (Kim, 2014)."""

    architecture: Literal["cnn"]
    dropout: Rate | None = None
    embedding_dim: Count | None = None
    filters: Count | None = Field(default=None, description="filters per kernel size")
    kernel_sizes: Counts | None = Field(default=None, description="tokens of each window")
    batch_normalization: bool = False
    vectors: PathText | None = None

    def defaults(self, role: Role, corpus: Corpus) -> dict[str, Any]:
        return {"dropout": 0.5, "embedding_dim": 128, "filters": 100, "kernel_sizes": [2, 3, 4]}


class LstmModel(Architecture):
    """Stacked LSTM layers (Hochreiter and Schmidhuber, 1997).

    A classifier uses the state at the last token; a translator has an encoder, and a decoder that attends to it.
    """

    roles = ("encoder", "reader", "decoder", "encoder-decoder")

    architecture: Literal["lstm"]
    dropout: Rate | None = None
    embedding_dim: Count | None = None
    units: Counts | None = Field(default=None, description="units of each layer, the first one first")
    bidirectional: bool | None = Field(default=None, description="for a classifier, or the encoder of a translator")
    dense_units: Annotated[Int, Field(ge=0)] | None = Field(
        default=None, description="units of a Dense ReLU layer after the LSTM; 0: none"
    )
    tie_embeddings: bool | None = Field(default=None, description="use the target embeddings as the output layer")
    vectors: PathText | None = None

    def defaults(self, role: Role, corpus: Corpus) -> dict[str, Any]:
        if role == "encoder":
            return {
                "dropout": 0.3, "embedding_dim": 128, "units": [128, 64], "bidirectional": True, "dense_units": 0
            }  # fmt: skip
        if role == "reader":
            return {"dropout": 0.3, "embedding_dim": 128, "units": [128, 128], "bidirectional": True}
        if role == "encoder-decoder":
            return {
                "dropout": 0.3,
                "embedding_dim": 256,
                "units": [512],
                "bidirectional": True,
                "tie_embeddings": False,
            }
        dropout = 0.1 if corpus.large else 0.3
        return {"dropout": dropout, "embedding_dim": 256, "units": [512, 512], "tie_embeddings": False}

    def learning_rate(self, role: Role) -> float:
        return 2e-3 if role == "decoder" else 1e-3


class TransformerModel(Architecture):
    """A pre-norm Transformer (Vaswani et al., 2017; Xiong et al., 2020)."""

    roles = ("encoder", "reader", "decoder", "encoder-decoder")
    attention = True

    architecture: Literal["transformer"]
    dropout: Rate | None = None
    embedding_dim: Count | None = Field(default=None, description="None: hidden_dim")
    hidden_dim: Count | None = None
    num_layers: Count | None = None
    encoder_layers: Count | None = Field(default=None, description="for a translator; None: num_layers")
    decoder_layers: Count | None = Field(default=None, description="for a translator; None: num_layers")
    num_heads: Count | None = None
    num_key_value_heads: Count | None = Field(default=None, description="None: num_heads")
    head_dim: Count | None = Field(default=None, description="numbers of a head; None: hidden_dim / num_heads")
    intermediate_dim: Count | None = Field(default=None, description="None: 4 * hidden_dim")
    positions: Literal["learned", "sinusoidal", "rope"] | None = Field(default=None, description="None: by task")
    activation: Literal["gelu", "relu", "swiglu"] = "gelu"
    tie_embeddings: bool | None = Field(default=None, description="use the target embeddings as the output layer")
    vectors: PathText | None = None

    def defaults(self, role: Role, corpus: Corpus) -> dict[str, Any]:
        if role == "encoder":
            return {"dropout": 0.2, "hidden_dim": 128, "num_layers": 2, "num_heads": 4, "positions": "learned"}
        if role == "reader":
            return {"dropout": 0.1, "hidden_dim": 256, "num_layers": 4, "num_heads": 4, "positions": "rope"}
        if role == "encoder-decoder":  # narrow, with much dropout: wider models overfit small corpora
            layers, hidden_dim = self.num_layers or 4, self.hidden_dim or 256
            return {
                "dropout": 0.3, "hidden_dim": hidden_dim, "num_heads": heads_for(hidden_dim), "encoder_layers": layers,
                "decoder_layers": layers, "positions": "sinusoidal", "tie_embeddings": True,
            }  # fmt: skip
        hidden_dim = self.hidden_dim or (384 if corpus.large else 256)
        return {
            "dropout": 0.1 if corpus.large else 0.2, "hidden_dim": hidden_dim, "num_layers": 6,
            "num_heads": heads_for(hidden_dim), "positions": "rope", "tie_embeddings": True,
        }  # fmt: skip

    def learning_rate(self, role: Role) -> float:
        return 5e-4 if role in ("encoder", "reader") else 1e-3

    def misfits(self, task: str, role: Role) -> list[str]:
        hidden, heads, shared = self.hidden_dim, self.num_heads, self.num_key_value_heads
        lines = []
        if role not in ("encoder", "reader") and self.embedding_dim:
            lines.append(
                f"model.embedding_dim: found {self.embedding_dim}, but for task {task} a transformer takes"
                f" model.hidden_dim for its embeddings: leave it out"
            )
        if self.head_dim:
            if self.positions == "rope" and self.head_dim % 2:
                lines.append(
                    f"model.positions rope rotates pairs of numbers: found model.head_dim {self.head_dim}, expected an "
                    "even number"
                )
        elif hidden and heads and hidden % heads:
            lines.append(
                f"model.hidden_dim {hidden} is not a multiple of model.num_heads {heads}: change one, or give "
                "model.head_dim"
            )
        elif hidden and heads and self.positions == "rope" and hidden // heads % 2:
            lines.append(
                f"model.positions rope rotates pairs of numbers: found {hidden // heads} numbers a head"
                f" (model.hidden_dim {hidden}, model.num_heads {heads}), expected an even number"
            )
        if heads and shared and heads % shared:
            lines.append(f"model.num_heads {heads} is not a multiple of model.num_key_value_heads {shared}")
        return lines


class PresetModel(Architecture):
    """A pretrained model: the name of a KerasHub preset, a folder in KerasHub or Hugging Face layout, a GGUF file."""

    roles = ("encoder", "reader", "decoder", "encoder-decoder")
    attention = True
    pretrained = True

    architecture: Literal["preset"]
    path: PathText = Field(description="a preset name, a local folder, or a .gguf file")
    dropout: Rate | None = None
    num_layers: Count | None = Field(default=None, description="of a text encoder, the first ones; None: all")
    num_heads: Count | None = Field(default=None, description="of a text encoder, the first ones; None: all")
    intermediate_dim: Count | None = Field(
        default=None, description="of a text encoder, the first feed-forward units; None: all"
    )
    lora_rank: Count | None = Field(default=None, description="rank of LoRA; None: all weights are trained")

    @property
    def training_form(self) -> bool:
        return self.lora_rank is not None

    def defaults(self, role: Role, corpus: Corpus) -> dict[str, Any]:
        return {"dropout": 0.0 if self.lora_rank else published_dropout(self.path, role)}

    def learning_rate(self, role: Role) -> float:
        if role in ("encoder", "reader"):
            return 1e-4
        return 5e-4 if self.lora_rank else 5e-5  # LoRA starts at zero and takes a larger learning rate

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes that are given, which are smaller than those of the preset: textapp compress makes such models."""
        names = ("num_layers", "num_heads", "intermediate_dim")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def misfits(self, task: str, role: Role) -> list[str]:
        if role in ("encoder", "reader"):
            return []
        return [
            f"model.{name}: found {size}, but for task {task} the sizes of a preset are those of its folder: leave it "
            "out"
            for name, size in self.sizes.items()
        ]


ModelConfig = Annotated[
    Union[MlpModel, CnnModel, LstmModel, TransformerModel, PresetModel], Field(discriminator="architecture")
]


def published_dropout(path: str, role: Role) -> float:
    """The dropout that a preset was trained with: what its config.json says, none if it knows none, as of a Llama.

    Args:
        path: a folder in Hugging Face or KerasHub layout, or the name of a KerasHub preset.
        role: of the model; for a name it decides: 0.1, but none for a language model other than GPT-2 and OPT.

    Example: `published_dropout("llama3_8b_en", "decoder")` is 0.0, `published_dropout("bert_base_en", "encoder")` 0.1.
    """
    if not Path(path).is_dir():
        older = any(word in path.lower() for word in ("gpt2", "opt_"))
        return 0.0 if role == "decoder" and not older else 0.1
    config = published_config(path)
    inner = config.get("config")
    settings = inner if isinstance(inner, dict) else config
    values = [settings[name] for name in DROPOUTS if type(settings.get(name)) in (int, float)]
    return next((float(value) for value in values if 0 <= value < 1), 0.0)


def published_config(path: str | Path) -> dict[str, Any]:
    """The config.json of a preset's folder; empty if none can be read, which is told where the model is read."""
    file, config = Path(path) / "config.json", None
    if file.is_file():  # a pipe would be waited for
        with contextlib.suppress(OSError, ValueError, RecursionError):
            config = json.loads(file.read_text(encoding="utf-8-sig"))
    return config if isinstance(config, dict) else {}


def architectures() -> dict[str, type[Architecture]]:
    """Name -> class of each architecture."""
    parts = get_args(get_args(ModelConfig)[0])
    return {get_args(part.model_fields["architecture"].annotation)[0]: part for part in parts}


def heads_for(hidden_dim: int) -> int:
    """Heads of size 64, or larger ones if 64 does not divide `hidden_dim`: 256 gives 4 heads, 100 gives 1."""
    return next(heads for heads in range(max(1, hidden_dim // 64), 0, -1) if hidden_dim % heads == 0)
