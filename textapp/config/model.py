"""The `model` of a config: one class an architecture. Which fields serve which task stands in tasks.py."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field, field_validator, model_validator

from textapp.config.parts import Count, Counts, Model, Rate


class MlpModel(Model):
    """A bag of embeddings of tokens and token n-grams: the fastText of this house (Joulin et al., 2016)."""

    architecture: Literal["mlp"]
    dropout: Rate | None = Field(default=None, description="share of units dropped while training")
    embedding_dim: Count | None = Field(default=None, description="numbers a token")
    hidden_dims: list[Count] | None = Field(default=None, description="Dense layers after the mean; [] for none")
    ngrams: Annotated[int, Field(ge=1, le=5)] | None = Field(default=None, description="longest n-gram, in tokens")
    subwords: list[Count] | None = Field(
        default=None, description="shortest and longest n-gram of characters that tokens share in training; [] for none"
    )
    naive_bayes: bool | None = Field(default=None, description="begin as a naive Bayes classifier; pays on long texts")
    batch_normalization: bool = False
    vectors: str | None = Field(default=None, description="pretrained word vectors, a text .vec file")

    @field_validator("subwords")
    @classmethod
    def _subwords_are_a_range(cls, subwords: list[int] | None) -> list[int] | None:
        if subwords and (len(subwords) != 2 or subwords[0] > subwords[1]):
            raise ValueError("expected the shortest and the longest, such as [3, 5], or []")
        return subwords

    @property
    def between_bag_and_logits(self) -> list[str]:
        """The fields that leave no room for a beginning as naive Bayes: layers between, or vectors from elsewhere."""
        return [name for name in ("hidden_dims", "batch_normalization", "vectors") if getattr(self, name)]

    @model_validator(mode="after")
    def _naive_bayes_has_room(self) -> MlpModel:
        if self.naive_bayes and self.between_bag_and_logits:
            names = ", ".join(self.between_bag_and_logits)
            raise ValueError(f"naive_bayes true and {names} do not go together: leave one out")
        return self


class CnnModel(Model):
    """Parallel convolutions with max-over-time pooling (Kim, 2014)."""

    architecture: Literal["cnn"]
    dropout: Rate | None = None
    embedding_dim: Count | None = None
    filters: Count | None = Field(default=None, description="filters a kernel size")
    kernel_sizes: Counts | None = Field(default=None, description="window lengths in tokens")
    batch_normalization: bool = False
    vectors: str | None = None


class LstmModel(Model):
    """Stacked LSTM layers (Hochreiter and Schmidhuber, 1997).

    A classifier reads the last real token; a translator has an encoder and a decoder with attention over it.
    """

    architecture: Literal["lstm"]
    dropout: Rate | None = None
    embedding_dim: Count | None = None
    units: Counts | None = Field(default=None, description="units of each layer, bottom first")
    bidirectional: bool | None = Field(default=None, description="of a classifier, or of the encoder")
    dense_units: Annotated[int, Field(ge=0)] | None = Field(default=None, description="ReLU layer after it; 0: none")
    tie_embeddings: bool | None = Field(default=None, description="target embeddings are the output layer too")
    vectors: str | None = None


class TransformerModel(Model):
    """A pre-norm Transformer (Vaswani et al., 2017; Xiong et al., 2020)."""

    architecture: Literal["transformer"]
    dropout: Rate | None = None
    embedding_dim: Count | None = Field(default=None, description="None: hidden_dim")
    hidden_dim: Count | None = None
    num_layers: Count | None = None
    encoder_layers: Count | None = Field(default=None, description="of a translator; None: num_layers")
    decoder_layers: Count | None = Field(default=None, description="of a translator; None: num_layers")
    num_heads: Count | None = None
    num_key_value_heads: Count | None = Field(default=None, description="None: num_heads")
    intermediate_dim: Count | None = Field(default=None, description="None: 4 * hidden_dim")
    positions: Literal["learned", "sinusoidal", "rope"] | None = Field(default=None, description="None: by task")
    activation: Literal["gelu", "relu", "swiglu"] = "gelu"
    tie_embeddings: bool | None = Field(default=None, description="target embeddings are the output layer too")
    vectors: str | None = None


class PresetModel(Model):
    """A KerasHub text backbone with its weights: a preset name, or a folder in KerasHub or Hugging Face layout."""

    architecture: Literal["preset"]
    path: str = Field(description="a preset name or a local folder")
    dropout: Rate | None = None
    lora_rank: Count | None = Field(
        default=None, description="numbers between the factors of low-rank additions; None: all weights are trained"
    )


ModelConfig = Annotated[
    Union[MlpModel, CnnModel, LstmModel, TransformerModel, PresetModel], Field(discriminator="architecture")
]
