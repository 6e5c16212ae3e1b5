"""The signatures of a language model for LiteRT-LM, and which models have them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from textapp.decoding.litert_lm import KV_CACHE, from_kv, to_kv
from textapp.decoding.signatures import DECODE, prefill_name
from textapp.errors import UsageError
from textapp.layers import TransformerDecoder
from textapp.layers.cache import written
from textapp.models.generator import Generator
from textapp.objectives.signature import Signature
from textapp.tasks.generation import GenerationTask
from textapp.text.tokenizer import Tokenizer

LONGEST = 128  # tokens of one prefill; longer prompts are read in parts


def check_served(model: Any, task: GenerationTask) -> None:
    """Checks that LiteRT-LM can run a language model, and read texts as it does.

    Args:
        model: of the run.
        task: of the run.

    Raises:
        UsageError: it cannot; with the reason.
    """
    reason = _reason(model, task.tokenizer)
    if reason:
        raise UsageError(f"target litert-lm: {reason}: take --target litert")


def _reason(model: Any, tokenizer: Tokenizer) -> str:
    if model.loops_copy:
        return "found a preset on KerasHub's own layers, expected one of the GPT-2, Llama, Mistral, Qwen or SmolLM kind"
    if not isinstance(model.decoder, TransformerDecoder):
        return "found an LSTM, expected a Transformer, whose cache has keys and values of each token"
    if tokenizer.python_steps:
        return f"the cleaning of texts has {', '.join(tokenizer.python_steps)}, which LiteRT-LM's tokenizers do not do"
    return ""


def signatures(model: Generator, task: GenerationTask) -> list[Signature]:
    """`prefill_<tokens>` and `decode`, see `textapp.decoding.litert_lm`.

    The caches hold the context and, behind it, the longest prefill: LiteRT-LM fills its last call up with padding,
    whose rows are written over before they are looked at.

    Args:
        model: a language model that `check_served` accepts.
        task: of the run.
    """
    lengths = sorted({min(read, LONGEST) for read, _ in task.generate_lengths})
    rows = task.lengths[-1] + lengths[-1]
    caches = {
        f"{KV_CACHE}{kind}_{number}": (1, block.attention.num_key_value_heads, rows, block.attention.head_dim)
        for number, block in enumerate(model.decoder.blocks)
        for kind in "kv"
    }

    def signature(name: str, tokens: int, call: Any) -> Signature:
        return Signature(name, {"tokens": (1, tokens), "input_pos": (tokens,), **caches}, partial(call, model))

    return [*(signature(prefill_name(each), each, _prefill) for each in lengths), signature(DECODE, 1, _decode)]


def _prefill(model: Generator, features: Mapping[str, Any]) -> dict[str, Any]:
    return to_kv(model.step(features["tokens"], features["input_pos"][:1], from_kv(features))[1])


def _decode(model: Generator, features: Mapping[str, Any]) -> dict[str, Any]:
    cache, position = from_kv(features), features["input_pos"]
    logits, rows = model.step(features["tokens"][:, 0], position, cache)
    return {"logits": logits[:, None], **to_kv(written(cache, rows, position))}
