"""The layers of the models: serialisable Keras layers that convert to LiteRT's builtin operators alone.

Also two functions that build decoding loops, `greedy_loop` and `greedy_queue`, and one that reads hidden states.
"""

from textapp.layers.attention import CrossAttention, SelfAttention
from textapp.layers.embedding import Positions, SubwordEmbedding, TokenEmbedding
from textapp.layers.greedy_loop import Greedy, greedy_loop
from textapp.layers.greedy_queue import greedy_queue
from textapp.layers.hidden_states import with_hidden_states
from textapp.layers.inference import inference_weights
from textapp.layers.lstm import Lstm
from textapp.layers.lstm_stacks import LstmDecoder, LstmEncoder
from textapp.layers.masking import AttentionMask, PaddingMask
from textapp.layers.ngrams import CountOnce, NgramEmbedding, Sum
from textapp.layers.normalization import LayerNorm, RmsNorm
from textapp.layers.pooling import POOLINGS, FirstPooling, LastPooling, MaxPooling, MeanPooling, ScaledSumPooling
from textapp.layers.reading import AlignedQuestion, QuestionFlags, SpanLogits
from textapp.layers.relative import RelativePositions
from textapp.layers.transformer import BlockSettings, DecoderBlock, TransformerBlock
from textapp.layers.transformer_stacks import TransformerDecoder, TransformerEncoder
from textapp.layers.windows import WindowFeatures

__all__ = [
    "AlignedQuestion",
    "AttentionMask",
    "BlockSettings",
    "CountOnce",
    "CrossAttention",
    "DecoderBlock",
    "FirstPooling",
    "Greedy",
    "LastPooling",
    "LayerNorm",
    "Lstm",
    "LstmDecoder",
    "LstmEncoder",
    "MaxPooling",
    "MeanPooling",
    "NgramEmbedding",
    "POOLINGS",
    "PaddingMask",
    "Positions",
    "QuestionFlags",
    "RelativePositions",
    "RmsNorm",
    "ScaledSumPooling",
    "SelfAttention",
    "SpanLogits",
    "SubwordEmbedding",
    "Sum",
    "TokenEmbedding",
    "TransformerBlock",
    "TransformerDecoder",
    "TransformerEncoder",
    "WindowFeatures",
    "greedy_loop",
    "greedy_queue",
    "inference_weights",
    "with_hidden_states",
]
