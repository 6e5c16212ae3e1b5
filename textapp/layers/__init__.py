"""The bricks of the models: plain, serialisable Keras layers that convert to LiteRT builtins alone."""

from textapp.layers.attention import SelfAttention
from textapp.layers.embedding import NgramEmbedding, Positions, TokenEmbedding
from textapp.layers.lstm import Lstm
from textapp.layers.masking import AttentionMask, PaddingMask
from textapp.layers.normalization import LayerNorm
from textapp.layers.pooling import POOLINGS, FirstPooling, LastPooling, MaxPooling, MeanPooling, ScaledSumPooling
from textapp.layers.transformer import TransformerBlock
from textapp.layers.windows import WindowFeatures

__all__ = [
    "POOLINGS",
    "AttentionMask",
    "FirstPooling",
    "LastPooling",
    "LayerNorm",
    "Lstm",
    "MaxPooling",
    "MeanPooling",
    "NgramEmbedding",
    "PaddingMask",
    "Positions",
    "ScaledSumPooling",
    "SelfAttention",
    "TokenEmbedding",
    "TransformerBlock",
    "WindowFeatures",
]
