"""Text generation: a prompt -> its continuation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from textapp.predictors.chat import chat_template, prompt_ids, without_oldest
from textapp.predictors.conversations import ConversationReader
from textapp.records.messages import ASSISTANT, Message, asked, spoken
from textapp.tasks.generative import PAIRS, GenerativeTask, TextAnswer
from textapp.tasks.task import Listing, Record
from textapp.text.cutting import ending
from textapp.untrusted import FLAG, LENGTHS, TEXT, key, list_of

if TYPE_CHECKING:
    from textapp.decoding.scoring import Window
    from textapp.predictors.requests import Features
    from textapp.text.tokenizer import Tokenizer

CHARACTERS_PER_TOKEN = 16  # above the average of all tokenizers here; limits the text that is tokenized for a prompt


class GenerationTask(GenerativeTask):
    """Turns prompts into features of a language model, and generated ids into answers.

    Args:
        tokenizer: converts text to ids.
        lengths: the last one is the context, the maximum number of tokens of prompt and continuation together.
        generate_lengths: `(prompt, new)` of each signature, in tokens; empty before they are known.
        language: `en`, `zh`, ...; determines what counts as a word in the metrics.
        running_text: whether the model was trained on a text stream; else on documents with a start and an end id.
        overflow: for a prompt longer than the longest bucket: `truncate` keeps its end, with a warning, `error`
            reports an error.
    """

    name = "generation"
    measures = {"perplexity": "perplexity", "nats_per_character": "nats per character"}
    text_measures: tuple[str, ...] = ("perplexity", "perplexity_per_character", "loss", "nats_per_character")
    fields: tuple[str, ...] = ("prompt",)
    input_field, target_field = "prompt", "text"
    converses = True

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
            lengths=key(manifest, "lengths", LENGTHS),
            generate_lengths=key(manifest, "generate_lengths", PAIRS),
            language=key(manifest, "languages", list_of(TEXT, at_least=1))[0],
            running_text=key(manifest, "running_text", FLAG),
            **options,
        )

    def features(self, record: Record) -> dict[str, Any]:
        """The ids of the prompt, not padded, never empty, and their number; of a long prompt the last ones.

        Of a record with messages they are those of the conversation before its last answer. If it is too long, its
        oldest turns are left out.

        Raises:
            DataError: the prompt is too long, and `overflow` is `error`.
        """
        if "messages" in record:
            return self.features_of(self._conversation_ids(record))
        part = ending(self.tokenizer, record["prompt"], self.max_tokens)
        self._check_known(part)
        ids = self.joined(part.ids)
        self._check_length(record["prompt"], len(ids), "end", part.whole)
        return self.features_of(ids[-self.max_tokens :])

    @cached_property
    def conversations(self) -> ConversationReader:
        """What turns conversations into token ids.

        Raises:
            UsageError: the model has no chat template.
        """
        return ConversationReader(self.tokenizer, chat_template(self.tokenizer, None, "the model"))

    def _conversation_ids(self, record: Record) -> list[int]:
        ids_of = partial(prompt_ids, self.tokenizer, chat_template(self.tokenizer, None, "the model"))
        waiting = asked(record["messages"])
        ids = ids_of(waiting)
        if len(ids) <= self.max_tokens:
            return ids
        self._check_length(spoken(waiting), len(ids), "last turns")
        return without_oldest(waiting, ids_of, self.max_tokens)[0][-self.max_tokens :]

    def joined(self, ids: Sequence[int]) -> list[int]:
        """The ids of a whole prompt with the start id; a model of a text stream has none."""
        if self.running_text:  # use a newline as the context of an empty prompt
            return list(ids) or self.tokenizer.ids("\n")[-1:] or [self.tokenizer.unknown_id]
        return [self.start_id, *ids]

    def features_of(self, ids: list[int]) -> dict[str, Any]:
        """The features of ids that `joined` returned."""
        return {"token_ids": ids, "num_tokens": len(ids)}

    @property
    def max_new_tokens(self) -> int:
        """The length of the context."""
        return self.lengths[-1]

    def room(self, num_tokens: int) -> int:
        """The tokens that a prompt of this length leaves in the context."""
        return self.lengths[-1] - num_tokens

    def first_position(self, num_tokens: int) -> int:
        """The position after the prompt."""
        return num_tokens

    def filler(self, features: Features) -> Features:
        """The features themselves: a language model generates something for every row."""
        return features

    def windows(self, owner: int, record: Record) -> tuple[list[Window], int]:
        """Windows over the whole text. The prompt is not scored, nor the first token of a text stream.

        Of a conversation each answer of the assistant is scored, with the token that ends it.
        """
        from textapp.decoding.scoring import windows

        if "messages" in record:
            return self._conversation_windows(owner, record["messages"])
        ids = self.target_ids(record)
        if self.running_text:
            parts = windows(owner, ids[:-1], ids[1:], self.lengths[-1]) if len(ids) > 1 else ()
            return list(parts), len(record["text"]) - len(self.decode(ids[:1]))
        prompt = len(self.tokenizer.ids(record["prompt"])) if record.get("prompt") else 0
        parts = windows(owner, [self.start_id, *ids], [*ids, self.end_id], self.lengths[-1], prompt)
        return list(parts), len(record["text"])

    def _conversation_windows(self, owner: int, messages: Sequence[Message]) -> tuple[list[Window], int]:
        from textapp.decoding.scoring import windows

        context = self.lengths[-1]
        parts: list[Window] = []
        for turns in self.conversations.within(messages, context + 1):
            for start, end in turns.answers:
                parts += windows(owner, turns.ids[: end - 1], turns.ids[1:end], context, max(0, start - 1))
        return parts, sum(len(each["content"]) for each in messages if each["role"] == ASSISTANT)

    def reference_ids(self, record: Record) -> list[int]:
        """The ids of the text that follows the prompt in the data."""
        return self.tokenizer.ids(record.get("text") or "")

    def queries(self, records: Sequence[Record], max_count: int) -> list[Record]:
        """The records themselves if the data have prompts, else the beginnings of texts as prompts.

        Args:
            records: `{prompt, text}`, or `{text}`.
            max_count: maximum number of prompts to make; in a text stream evenly spread, at line starts if possible.
        """
        if any("prompt" in record for record in records):
            return [{"prompt": "", **record} for record in records]
        texts = [record["text"] for record in records if record["text"].strip()]
        if self.running_text:
            texts = _pieces("\n".join(texts), max_count, CHARACTERS_PER_TOKEN * self.max_tokens)
        step = max(1, len(texts) // max_count)
        return [{"prompt": self._beginning(text)} for text in texts[::step][:max_count]]

    def _beginning(self, text: str) -> str:
        """The first half of a text, shortened to the shortest signature."""
        offsets = self.tokenizer.encode(text[: CHARACTERS_PER_TOKEN * self.max_tokens]).offsets
        shortest = self.generate_lengths[0][0] if self.generate_lengths else self.lengths[-1]
        count = min(shortest - 1, (len(offsets) + 1) // 2)
        return text[: offsets[count - 1][1]] if count > 0 else text[:1]

    def target_ids(self, record: Record) -> list[int]:
        """The ids of prompt, if any, and text, without start and end id."""
        prompt = record.get("prompt")
        return [*(self.tokenizer.ids(prompt) if prompt else []), *self.tokenizer.ids(record["text"])]

    def generated_text(self, record: Record, token_ids: Sequence[int]) -> str:
        """The text that new ids add to the prompt, including a space between them; in a conversation, the answer."""
        if "messages" in record:
            return self.decode(token_ids)
        prompt_ids = self.features(record)["token_ids"]
        prompt = self.tokenizer.decode(prompt_ids)
        ids = self.until_end(token_ids)
        whole = self.tokenizer.decode([*prompt_ids, *ids])
        return whole[len(prompt) :] if whole.startswith(prompt) else self.tokenizer.decode(ids)

    def score(self, records: Sequence[Record], answers: Sequence[TextAnswer]) -> dict[str, Any]:
        """The quality, 0 to 100, of answers to prompts, compared with the `text` of the data if there is one."""
        from textapp.metrics.generation import generation_scores

        texts = [record.get("text") for record in records]
        return generation_scores([answer.output for answer in answers], self.language, texts)

    def intervals(self, records: Sequence[Record], answers: Sequence[TextAnswer]) -> dict[str, list[float]]:
        """Those of ROUGE, if every record has a text to compare with; that of perplexity is the predictor's."""
        from textapp.metrics.generation import rouge_intervals

        targets = [[record["text"]] for record in records if record.get("text") is not None]
        if len(targets) < len(records):
            return {}
        return rouge_intervals([answer.output for answer in answers], targets)

    def listing(self, records: Sequence[Record], answers: Sequence[TextAnswer]) -> Listing:
        """The prompts with their outputs."""
        rows = [
            {"prompt": record["prompt"], "output": answer.output, "target": record.get("text", "")}
            for record, answer in zip(records, answers, strict=True)
        ]
        return Listing("outputs", "outputs", ("prompt", "output", "target"), rows)


def _pieces(text: str, max_count: int, length: int) -> list[str]:
    """At most `max_count` pieces of `length` characters, evenly spread over a text, at line starts if possible."""
    step = max(1, len(text) // max_count, length)
    pieces = []
    for start in range(0, len(text), step):
        line = text.find("\n", start, start + step) + 1 if start else 0
        pieces.append(text[line or start :][:length].strip())
    return [piece for piece in pieces if piece][:max_count]
