"""The token tables of a model that writes, so that no loop of the file carries one.

A table that is read before a loop and in it, or that is read and multiplied with, would be turned to float as a whole
and go through the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textapp.layers import TokenEmbedding

if TYPE_CHECKING:
    from textapp.models.generator import Generator


def prepare_tables(model: Generator, quantize: str) -> None:
    """Changes a model in place for a conversion; it stays the same function, but for the rounding to int8.

    Args:
        model: a translator or a language model, in float32.
        quantize: `dynamic`: rows are read as int8. Others: what is read before the loop gets a table of its own, of
            equal values; the file holds equal tables once.
    """
    if quantize == "dynamic":
        for table in {id(table): table for table in (model.token_embedding, model.source_embedding)}.values():
            table.round_rows()
    elif model.source_embedding is model.token_embedding:
        model.source_embedding = _copied(model.token_embedding)


def _copied(table: TokenEmbedding) -> TokenEmbedding:
    copy = TokenEmbedding.from_config({**table.get_config(), "name": "source_embedding"})
    copy.build((None, None))
    copy.embeddings.assign(table.embeddings)
    copy.center_rows = table.center_rows
    return copy
