"""The hidden states of a Transformer: what each of its blocks gives, read from a call of the whole model."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

# Of the call in progress. Each replica of a strategy is traced in a thread of its own, which has a context of its own.
_states: ContextVar[list[Any] | None] = ContextVar("states", default=None)


def with_hidden_states(model: Callable[..., Any], features: Any, training: bool = False) -> tuple[Any, list[Any]]:
    """Calls a model, and returns its outputs and its hidden states.

    Args:
        model: with blocks of textapp's own, however deep inside.
        features, training: as the model takes them.

    Returns:
        the outputs, and `[batch, length, hidden_dim]` for each call of a block, in order.
    """
    states: list[Any] = []
    token = _states.set(states)
    try:
        return model(features, training=training), states
    finally:
        _states.reset(token)


def hidden_state(sequence: Any) -> Any:
    """The output of a block, which is noted if the hidden states are asked for."""
    states = _states.get()
    if states is not None:
        states.append(sequence)
    return sequence
