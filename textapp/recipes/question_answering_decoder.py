"""The recipe of question answering by a language model: contexts and questions are prompts, which answers continue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.arrays import IGNORED
from textapp.config import Config, Corpus
from textapp.recipes.generation import GenerationRecipe, max_context
from textapp.recipes.generation_defaults import training_defaults
from textapp.recipes.lengths import MAX_IN_BUCKET, choose_lengths, covering
from textapp.recipes.preparing import Encoder
from textapp.recipes.question_answering_generative import WrittenAnswersRecipe
from textapp.recipes.recipe import Records
from textapp.recipes.resolving import filled
from textapp.recipes.tokenizers import make_tokenizer
from textapp.records.shards import TokenShards
from textapp.records.splits import Splits
from textapp.records.token_ids import Document, IdsOnDisk, Sides
from textapp.tasks.generative import GenerativeTask
from textapp.tasks.question_answering_decoder import (
    PromptedAnswersTask,
    asking,
    behind_mark,
    context_of,
    without_middle,
    written,
)
from textapp.text.tokenizer import Tokenizer, load_tokenizers

if TYPE_CHECKING:
    from textapp.objectives.generative import GenerativeObjective

QUESTIONS = "questions"  # feature of shards: the number of tokens of each


class PromptedAnswersRecipe(WrittenAnswersRecipe):
    """See `Recipe`; the data are those of `WrittenAnswersRecipe`, the model is that of `GenerationRecipe`."""

    task = PromptedAnswersTask
    keys = replace(
        WrittenAnswersRecipe.keys,
        role="decoder",
        keys=GenerationRecipe.keys.keys | {"mode", "model.role"},
    )

    def objective(self) -> GenerativeObjective:
        """See `Recipe`."""
        from textapp.objectives.question_answering_decoder import PromptedAnswersObjective

        return PromptedAnswersObjective()

    def sized(
        self, config: Config, source_counts: Sequence[int], target_counts: Sequence[int], longest: int
    ) -> dict[str, Any]:
        """See `TranslationRecipe`; prompts and answers share the context of the model.

        Args:
            config, source_counts, target_counts, longest: as there.
        """
        pairs = config.generate_lengths or _signatures(config, source_counts, target_counts, longest)
        lengths = config.lengths or [max(map(sum, pairs))]
        whole = [prompt + answer - 1 for prompt, answer in zip(source_counts, target_counts, strict=True)]
        defaults = {**training_defaults(config, whole, lengths[-1]), "monitor": self.monitor}
        return {
            "lengths": lengths,
            "generate_lengths": pairs,
            "model": filled(config.model, config.model.defaults(self.keys.role, Corpus(whole))),
            "training": filled(config.training, defaults),
        }

    def max_tokens(self, config: Config) -> int:
        """See `TranslationRecipe`."""
        return min(MAX_IN_BUCKET, max_context(config))

    def device_task(
        self, config: Config, source: Tokenizer, target: Tokenizer, languages: Sequence[str]
    ) -> PromptedAnswersTask:
        """See `TranslationRecipe`.

        Args:
            config, source, target, languages: as there.
        """
        return PromptedAnswersTask(source, config.lengths or [], config.generate_lengths or [], languages[0])

    def tokenizers(self, config: Config, splits: Splits, languages: Sequence[str]) -> tuple[Tokenizer, Tokenizer]:
        """Makes the tokenizer for prompts and answers, each context once."""
        contexts = dict.fromkeys(map(context_of, splits.train))
        asked = (_asked(record) + written(record["answer"]) for record in splits.train)
        texts = [{"text": text} for text in (*contexts, *asked)]
        tokenizer = make_tokenizer(config, texts, ("text",), languages[0], "continue")
        return tokenizer, tokenizer

    def sources(self, tokenizer: Tokenizer, records: Records, ids: IdsOnDisk) -> list[np.ndarray]:
        """The prompt of each record."""
        contexts = list(dict.fromkeys(map(context_of, records)))
        of_context = dict(zip(contexts, ids(contexts), strict=True))
        start = np.array([tokenizer.start_id], np.int32)
        questions = ids([_asked(record) for record in records])
        return [
            np.concatenate([start, of_context[context_of(record)], question])
            for question, record in zip(questions, records, strict=True)
        ]

    def targets(self, tokenizer: Tokenizer, records: Records, ids: IdsOnDisk) -> list[np.ndarray]:
        """The answer of each record, and the end id."""
        return [
            np.array([*behind_mark(tokenizer, row.tolist(), record["answer"]), tokenizer.end_id], np.int32)
            for row, record in zip(ids([written(record["answer"]) for record in records]), records, strict=True)
        ]

    def encoder(self, config: Config, labels: Sequence[str], folder: Path) -> Encoder:
        """Prompts and answers, with the number of tokens of each question, which a cut prompt keeps."""
        tokenizer, (encode, unknown_ids) = load_tokenizers(folder)[0], super().encoder(config, labels, folder)
        return Encoder(
            lambda records: {
                **encode(records),
                QUESTIONS: [[len(row)] for row in tokenizer.many_ids([_asked(record) for record in records])],
            },
            unknown_ids,
        )

    def longest(self, config: Config) -> int:
        """The longest prompt."""
        return config.generate_lengths[-1][0]

    def fitted(
        self, task: GenerativeTask, records: Records, sides: Sides, prepared: TokenShards | None = None
    ) -> list[Document]:  # fmt: skip
        """A document for each record, its prompt without loss; what does not fit is cut as on the device.

        Args:
            task, records, sides, prepared: as for `WrittenAnswersRecipe`.
        """
        documents, column = [], prepared and prepared.column(QUESTIONS)
        for number, (source, target) in enumerate(zip(sides.sources, sides.targets, strict=True)):
            prompt = source.tolist()
            if len(prompt) > task.max_tokens:
                asked = int(column[number][0]) if column else len(task.tokenizer.ids(_asked(records[number])))
                prompt = without_middle(prompt, asked, task.max_tokens)
            answer = target.tolist()[: task.lengths[-1] - len(prompt) + 1]
            inputs, targets = [*prompt, *answer[:-1]], [*[IGNORED] * (len(prompt) - 1), *answer]
            documents.append(Document(np.array(inputs, np.int32), np.array(targets, np.int32)))
        return documents

    def counts(self, tokenizer: Tokenizer, records: Records) -> tuple[list[int], list[int]]:
        """The tokens of each prompt, and those of its answer."""
        contexts = {context: len(tokenizer.ids(context)) for context in set(map(context_of, records))}
        read = [1 + contexts[context_of(record)] + len(tokenizer.ids(_asked(record))) for record in records]
        answers = [record["answer"] for record in records]
        return read, [1 + len(behind_mark(tokenizer, tokenizer.ids(written(each)), each)) for each in answers]


def _asked(record: dict[str, Any]) -> str:
    return asking(record["question"], bool(context_of(record)))


def _signatures(
    config: Config, prompts: Sequence[int], answers: Sequence[int], max_tokens: int
) -> list[tuple[int, int]]:
    """The lengths of prompts, and the new tokens that 99.5 % of the answers need, at most half of all."""
    longest = config.lengths[-1] if config.lengths else max_tokens
    new = max(1, min(longest // 2, covering(answers)))
    return [(length, new) for length in choose_lengths(prompts, max(1, longest - new))]
