"""What a config leaves open, filled in from the task, the data and the architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textapp.config import Config, Model, parse_config
from textapp.defaults import classification, generation, translation
from textapp.defaults.lengths import MOST_IN_BUCKET, choose_lengths, generation_lengths, translation_lengths


def resolve(
    config: Config,
    num_examples: int,
    token_counts: Sequence[int] | None = None,
    language: str = "en",
    most_tokens: int = MOST_IN_BUCKET,
    *,
    target_counts: Sequence[int] | None = None,
    target_language: str = "en",
) -> Config:
    """Fills every field that depends on the task, the data or the architecture.

    Before there is a tokenizer there are no counts: lengths then stay open, and for translation and generation the
    model and the training too, which depend on how much there is to learn from.

    Args:
        config: as `load_config` gave it.
        num_examples: training examples: texts, pairs or documents; of running text its characters / 100.
        token_counts: length in tokens of what is read of each training example, as the model reads it, so with start
            and end: the text; the source; of generation the whole document. None before there is a tokenizer.
        language: of the texts; of the source.
        most_tokens: that the longest bucket may have.
        target_counts: length in tokens, with the end, of what is to be written: the target of each source; of
            generation the text after its prompt, None where there are no prompts.
        target_language: of the target of a translation.

    Raises:
        ConfigError: what was given does not fit what was filled in.
    """
    if config.task == "translation":
        languages = (language, target_language)
        filled = _translation(config, num_examples, token_counts, target_counts, languages, most_tokens)
    elif config.task == "generation":
        filled = _generation(config, num_examples, token_counts, target_counts, language, most_tokens)
    else:
        filled = _classification(config, num_examples, token_counts, language, most_tokens)
    return parse_config(filled.model_dump(mode="json"))


def _classification(
    config: Config, num_examples: int, token_counts: Sequence[int] | None, language: str, most_tokens: int
) -> Config:
    update: dict[str, Any] = {"tokenizer": classification.tokenizer_defaults(config, num_examples, language)}
    if config.cleaning is None:
        update["cleaning"] = [] if config.model.architecture == "preset" else ["nfkc", "lowercase", "whitespace"]
    if config.lengths is None and token_counts is not None:
        update["lengths"] = choose_lengths(token_counts, min(most_tokens, MOST_IN_BUCKET))
    model = classification.model_defaults(config, update["tokenizer"].kind, language, token_counts)
    update["model"] = _filled(config.model, model)
    update["training"] = _filled(config.training, classification.training_defaults(config, num_examples))
    return config.model_copy(update=update)


def _translation(
    config: Config,
    num_examples: int,
    source_counts: Sequence[int] | None,
    target_counts: Sequence[int] | None,
    languages: tuple[str, str],
    most_tokens: int,
) -> Config:
    update = _written(config, translation.tokenizer_defaults(config, num_examples, *languages))
    if source_counts is not None:
        target_counts = source_counts if target_counts is None else target_counts
        most = min(most_tokens, MOST_IN_BUCKET)
        lengths = config.lengths or choose_lengths(source_counts, most)
        update["lengths"] = lengths
        update["generate_lengths"] = config.generate_lengths or translation_lengths(
            source_counts, target_counts, lengths, most
        )
        update["model"] = _filled(config.model, translation.model_defaults(config))
        update["training"] = _filled(config.training, translation.training_defaults(config, target_counts))
    return config.model_copy(update=update)


def _generation(
    config: Config,
    num_examples: int,
    token_counts: Sequence[int] | None,
    target_counts: Sequence[int] | None,
    language: str,
    most_tokens: int,
) -> Config:
    update = _written(config, generation.tokenizer_defaults(config, num_examples, language))
    if token_counts is not None:
        lengths = config.lengths or [min(most_tokens, generation.context_for(config, token_counts))]
        prompts = [] if target_counts is None else [
            max(1, whole - text) for whole, text in zip(token_counts, target_counts, strict=True)
        ]  # fmt: skip
        room = generation.NEW_TOKENS if config.running_text else None
        update["lengths"] = lengths
        update["generate_lengths"] = config.generate_lengths or generation_lengths(lengths[-1], prompts, room)
        update["model"] = _filled(config.model, generation.model_defaults(config, token_counts))
        update["training"] = _filled(config.training, generation.training_defaults(config, token_counts, lengths[-1]))
    return config.model_copy(update=update)


def _written(config: Config, tokenizer: Model) -> dict[str, Any]:
    """No cleaning unless asked for: what is cleaned away can never be written."""
    return {"tokenizer": tokenizer, "cleaning": [] if config.cleaning is None else config.cleaning}


def _filled(part: Model, defaults: Mapping[str, Any]) -> Model:
    return part.model_copy(update={key: value for key, value in defaults.items() if getattr(part, key) is None})
