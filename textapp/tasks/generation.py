"""Text generation: a beginning to what continues it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textapp.tasks.writing import TextAnswer, WritingTask

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer

_CHARACTERS_A_TOKEN = 16  # more than any text has in the mean: so much is looked at for the tokens of a prompt


class GenerationTask(WritingTask):
    """Turns prompts into features of a language model, and the ids that it wrote into answers.

    Args:
        tokenizer: text to ids.
        lengths: the last is the context: the most tokens that the model sees, prompt and new ones together.
        generate_lengths: `(prompt, new)` of each signature, in tokens; empty before they are known.
        language: `en`, `zh`, ...: says what counts as a word in the figures.
        running_text: the model was trained on one stream of text; else on documents between a start and an end id.
        overflow: for a prompt longer than the longest one: `truncate` to its end, with a warning, or `error`.
    """

    name = "generation"
    input_field = "prompt"

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
        cls, manifest: Mapping[str, Any], tokenizers: tuple[Tokenizer, Tokenizer], overflow: str = "truncate"
    ) -> GenerationTask:
        return cls(
            tokenizers[0],
            lengths=manifest["lengths"],
            generate_lengths=manifest["generate_lengths"],
            language=manifest["languages"][0],
            running_text=manifest["running_text"],
            overflow=overflow,
        )

    def features(self, record: Mapping[str, Any]) -> dict[str, list[int]]:
        """The prompt's ids, not padded, never empty; of one too long the end is kept, as it says what comes next.

        Raises:
            DataError: the prompt is too long, and `overflow` is `error`.
        """
        ids = self.tokenizer.ids(record["prompt"])
        self._check_known(record["prompt"], ids)
        ids = self.joined(ids)["token_ids"]
        self._room(record["prompt"], len(ids), self.most_tokens, "end")
        return {"token_ids": ids[-self.most_tokens :]}

    def joined(self, ids: Sequence[int]) -> dict[str, list[int]]:
        """The ids of a whole prompt as the model expects them: after the start id where it knows documents."""
        if self.running_text:
            # Running text has no start: a line's end is what a text may stand behind.
            return {"token_ids": list(ids) or self.tokenizer.ids("\n")[-1:] or [self.tokenizer.unknown_id]}
        return {"token_ids": [self.start_id, *ids]}

    def queries(self, records: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
        """The records themselves where the data have prompts, else beginnings of their texts as prompts.

        Args:
            records: `{prompt, text}`, or `{text}`.
            most: made prompts at most; of running text evenly over it, at starts of lines where there are some.
        """
        if any("prompt" in record for record in records):
            return [{"prompt": "", **record} for record in records]
        texts = [record["text"] for record in records if record["text"].strip()]
        if self.running_text:
            texts = _pieces("\n".join(texts), most, _CHARACTERS_A_TOKEN * self.most_tokens)
        step = max(1, len(texts) // most)
        return [{"prompt": self._beginning(text)} for text in texts[::step][:most]]

    def _beginning(self, text: str) -> str:
        """The first half of a text, at most as many tokens as the shortest signature reads."""
        offsets = self.tokenizer.encode(text[: _CHARACTERS_A_TOKEN * self.most_tokens]).offsets
        shortest = self.generate_lengths[0][0] if self.generate_lengths else self.lengths[-1]
        kept = min(shortest - 1, (len(offsets) + 1) // 2)
        return text[: offsets[kept - 1][1]] if kept > 0 else text[:1]

    def target_ids(self, record: Mapping[str, Any]) -> list[int]:
        """The ids of the text, of its prompt first where it has one, without start and end."""
        prompt = record.get("prompt")
        return [*(self.tokenizer.ids(prompt) if prompt else []), *self.tokenizer.ids(record["text"])]

    def written(self, record: Mapping[str, Any], token_ids: Sequence[int]) -> str:
        """What the new ids add to the prompt's text: a space between both is a part of it."""
        prompt_ids = self.features(record)["token_ids"]
        prompt = self.tokenizer.decode(prompt_ids)
        ids = self.until_end(token_ids)
        whole = self.tokenizer.decode([*prompt_ids, *ids])
        return whole[len(prompt) :] if whole.startswith(prompt) else self.tokenizer.decode(ids)

    def score(self, records: Sequence[Mapping[str, Any]], answers: Sequence[TextAnswer]) -> dict[str, Any]:
        """Quality figures, 0 to 100, of answers to prompts: against the `text` that the data continue a prompt with."""
        from textapp.metrics.generation import generation_scores

        texts = [record.get("text") for record in records]
        return generation_scores([answer.output for answer in answers], self.language, texts)


def _pieces(text: str, most: int, length: int) -> list[str]:
    """At most `most` pieces of `length` characters, evenly over the text, from starts of lines where near enough."""
    step = max(1, len(text) // most, length)
    pieces = []
    for start in range(0, len(text), step):
        line = text.find("\n", start, start + step) + 1 if start else 0
        pieces.append(text[line or start :][:length].strip())
    return [piece for piece in pieces if piece][:most]
