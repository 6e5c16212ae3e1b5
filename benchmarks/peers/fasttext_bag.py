"""fastText: the model that build.py trained on the same texts, string to label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fasttext
from serve import Job, facts_of, serve


def load_single(job: Job) -> tuple[Callable[[int], int], dict[str, Any]]:
    path = job.work / ("fasttext.ftz" if job.variant == "compressed" else "fasttext.bin")
    model = fasttext.load_model(str(path))
    number = {f"__label__{index}": index for index in range(len(facts_of(job.work)["labels"]))}
    prepare = simple_words if facts_of(job.work)["spaces"] else spaced_characters
    facts = {"version": "fastText", "size_bytes": path.stat().st_size}
    return lambda index: number[model.predict(prepare(job.texts[index]))[0][0]], facts


def simple_words(text: str) -> str:
    """Lower case, one line: what a fastText user does at least."""
    return text.lower().replace("\n", " ")


def spaced_characters(text: str) -> str:
    """For a script without spaces every character is a word."""
    return " ".join(simple_words(text).replace(" ", ""))


if __name__ == "__main__":
    serve(load_single)
