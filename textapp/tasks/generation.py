"""Text generation: a beginning to what continues it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textapp.tasks.generative import GenerativeTask, TextAnswer
from textapp.tasks.task import Listing, Record

if TYPE_CHECKING:
    from textapp.decoding.scoring import Window
    from textapp.predictors.requests import Features
    from textapp.text.tokenizer import Tokenizer

CHARACTERS_PER_TOKEN = 16  # more than any tokenizer here has on average: how much text is looked at for a prompt


class GenerationTask(GenerativeTask):
    """Turns prompts into features of a language model, and the ids that it generated into answers.

    Args:
        tokenizer: text to ids.
        lengths: the last is the context: the most tokens that the model sees, prompt and new ones together.
        generate_lengths: `(prompt, new)` of each signature, in tokens; empty before they are known.
        language: `en`, `zh`, ...: says what counts as a word in the figures.
        running_text: the model was trained on one stream of text; else on documents between a start and an end id.
        overflow: of a prompt longer than the longest bucket: `truncate` it to its end, with a warning, or report an
            `error`.
    """

    name = "generation"
    measures = {"perplexity": "perplexity", "nats_per_character": "nats per character"}
    text_measures = ("perplexity", "perplexity_per_character", "loss", "nats_per_character")
    input_field, target_field = "prompt", "text"

    def __init__(
        self,
        tokenizer: Tokenizer,
        lengths: Sequence[int],
        generate_lengths: Sequence[Sequence[int]] = (),
        language: str = "en",
        running_text: bool = False,
        overflow: str = "truncate",
    ) -> None:
        super().__init__(tokenizer, tokenizer, lengths, generate_lengths, overflow)
        self.language = language
        self.running_text = running_text

    @classmethod
    def from_manifest(
        cls, manifest: Mapping[str, Any], tokenizers: tuple[Tokenizer, Tokenizer], **options: Any
    ) -> GenerationTask:
        return cls(
            tokenizers[0],
            lengths=manifest["lengths"],
            generate_lengths=manifest["generate_lengths"],
            language=manifest["languages"][0],
            running_text=manifest["running_text"],
            **options,
        )

    def features(self, record: Record) -> dict[str, Any]:
        """The prompt's ids, not padded, never empty, and how many; of one too long the end, which says what comes next.

        Raises:
            DataError: the prompt is too long, and `overflow` is `error`.
        """
        ids = self.tokenizer.ids(record["prompt"])
        self._check_known(record["prompt"], ids)
        ids = self.joined(ids)
        self._check_length(record["prompt"], len(ids), "end")
        return self.features_of(ids[-self.max_tokens :])

    def joined(self, ids: Sequence[int]) -> list[int]:
        """The ids of a whole prompt as the model expects them: after the start id where it knows documents."""
        if self.running_text:  # has no start id: a newline is the context of an empty prompt
            return list(ids) or self.tokenizer.ids("\n")[-1:] or [self.tokenizer.unknown_id]
        return [self.start_id, *ids]

    def features_of(self, ids: list[int]) -> dict[str, Any]:
        """The features of ids that are joined already."""
        return {"token_ids": ids, "num_tokens": len(ids)}

    @property
    def max_new_tokens(self) -> int:
        """All that the context holds."""
        return self.lengths[-1]

    def room(self, num_tokens: int) -> int:
        """What a prompt leaves of the context."""
        return self.lengths[-1] - num_tokens

    def first_position(self, num_tokens: int) -> int:
        """After the prompt."""
        return num_tokens

    def filler(self, features: Features) -> Features:
        """The other row again: a language model has no row for which nothing is generated."""
        return features

    def windows(self, owner: int, record: Record) -> tuple[list[Window], int]:
        """Windows over the whole text; a prompt is context, and the first token of running text, which has no start."""
        from textapp.decoding.scoring import windows

        ids = self.target_ids(record)
        if self.running_text:
            parts = windows(owner, ids[:-1], ids[1:], self.lengths[-1]) if len(ids) > 1 else ()
            return list(parts), len(record["text"]) - len(self.decode(ids[:1]))
        prompt = len(self.tokenizer.ids(record["prompt"])) if record.get("prompt") else 0
        parts = windows(owner, [self.start_id, *ids], [*ids, self.end_id], self.lengths[-1], prompt)
        return list(parts), len(record["text"])

    def reference_ids(self, record: Record) -> list[int]:
        """The text that the data continue the prompt with."""
        return self.tokenizer.ids(record.get("text") or "")

    def queries(self, records: Sequence[Record], max_count: int) -> list[Record]:
        """The records themselves where the data have prompts, else beginnings of their texts as prompts.

        Args:
            records: `{prompt, text}`, or `{text}`.
            max_count: prompts to make at most; of running text evenly over it, at starts of lines where possible.
        """
        if any("prompt" in record for record in records):
            return [{"prompt": "", **record} for record in records]
        texts = [record["text"] for record in records if record["text"].strip()]
        if self.running_text:
            texts = _pieces("\n".join(texts), max_count, CHARACTERS_PER_TOKEN * self.max_tokens)
        step = max(1, len(texts) // max_count)
        return [{"prompt": self._beginning(text)} for text in texts[::step][:max_count]]

    def _beginning(self, text: str) -> str:
        """The first half of a text, at most as many tokens as the shortest signature reads."""
        offsets = self.tokenizer.encode(text[: CHARACTERS_PER_TOKEN * self.max_tokens]).offsets
        shortest = self.generate_lengths[0][0] if self.generate_lengths else self.lengths[-1]
        count = min(shortest - 1, (len(offsets) + 1) // 2)
        return text[: offsets[count - 1][1]] if count > 0 else text[:1]

    def target_ids(self, record: Record) -> list[int]:
        """The ids of the text, of its prompt first where it has one, without start and end."""
        prompt = record.get("prompt")
        return [*(self.tokenizer.ids(prompt) if prompt else []), *self.tokenizer.ids(record["text"])]

    def generated_text(self, record: Record, token_ids: Sequence[int]) -> str:
        """What the new ids add to the prompt's text: a space between both is a part of it."""
        prompt_ids = self.features(record)["token_ids"]
        prompt = self.tokenizer.decode(prompt_ids)
        ids = self.until_end(token_ids)
        whole = self.tokenizer.decode([*prompt_ids, *ids])
        return whole[len(prompt) :] if whole.startswith(prompt) else self.tokenizer.decode(ids)

    def score(self, records: Sequence[Record], answers: Sequence[TextAnswer]) -> dict[str, Any]:
        """Quality figures, 0 to 100, of answers to prompts: against the `text` that the data continue a prompt with."""
        from textapp.metrics.generation import generation_scores

        texts = [record.get("text") for record in records]
        return generation_scores([answer.output for answer in answers], self.language, texts)

    def listing(self, records: Sequence[Record], answers: Sequence[TextAnswer]) -> Listing:
        """What the model generates."""
        rows = [
            {"prompt": record["prompt"], "output": answer.output, "target": record.get("text", "")}
            for record, answer in zip(records, answers, strict=True)
        ]
        return Listing("outputs", "what it generates", ("prompt", "output", "target"), rows)


def _pieces(text: str, max_count: int, length: int) -> list[str]:
    """At most `max_count` pieces of `length` characters, evenly over the text, from a line start where one is near."""
    step = max(1, len(text) // max_count, length)
    pieces = []
    for start in range(0, len(text), step):
        line = text.find("\n", start, start + step) + 1 if start else 0
        pieces.append(text[line or start :][:length].strip())
    return [piece for piece in pieces if piece][:max_count]
