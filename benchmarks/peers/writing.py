"""What the systems that write text share: what they are asked, and how a text becomes token ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class WritingJob:
    """What to load and what to be asked.

    Attributes:
        work: the folder that generator_weights.py and build_generator.py filled.
        bundle: the bundle of textapp; the peers take its tokenizers.
        mode: `ids`: token ids to an answer of fixed length; `text`: string to string.
        threads: threads inside one answer; for throughput the workers.
        variant: the last word of the system's name, for engines that are timed with several number types.
        source, new: tokens of a query and of its answer, with `ids`.
        ids: the queries, with `ids`.
        texts: the queries, with `text`.
    """

    work: Path
    bundle: Path
    mode: str
    threads: int
    variant: str
    source: int
    new: int
    ids: list[list[int]]
    texts: list[str]

    @classmethod
    def parse(cls, text: str) -> WritingJob:
        raw = json.loads(text)
        work, bundle = Path(raw["work"]), Path(raw["bundle"])
        queries = json.loads((work / "queries.json").read_text(encoding="utf-8"))
        texts = []
        if raw["mode"] == "text":
            records = json.loads((work / "examples.json").read_text(encoding="utf-8"))[: raw["limit"]]
            texts = [record["source"] for record in records]
        return cls(
            work, bundle, raw["mode"], raw["threads"], raw["variant"], queries["source"], queries["new"],
            queries["ids"], texts,
        )  # fmt: skip

    def task(self) -> Any:
        """Text to ids and back: the code of textapp for every system."""
        from textapp.catalog import task_from_manifest
        from textapp.text.tokenizer import load_tokenizers

        manifest = json.loads((self.bundle / "manifest.json").read_text(encoding="utf-8"))
        return task_from_manifest(manifest, load_tokenizers(self.bundle))

    def answerer(self, write: Callable[[list[int], int, bool], list[int]]) -> Callable[[int], Any]:
        """The query that is timed: an index to token ids, or to a text.

        Args:
            write: token ids, the most new ones, and whether they must be as many, to new token ids.
        """
        if self.mode == "ids":
            return lambda index: write(self.ids[index], self.new, True)
        task = self.task()

        def answer(index: int) -> str:
            ids = task.features({"source": self.texts[index]})["token_ids"]
            return task.decode(write(ids, most_new(task, len(ids)), False))

        return answer


def most_new(task: Any, num_tokens: int) -> int:
    """The most tokens that textapp writes for a source of `num_tokens`: `generate_16_24` gives 24."""
    return int(task.signature(num_tokens)[0].rsplit("_", 1)[1])


def token_names(size: int) -> list[str]:
    """`["0", "1", ...]`: what CTranslate2 calls the ids; names that cost the least to make and to read back."""
    return [str(number) for number in range(size)]
