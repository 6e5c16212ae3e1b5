"""The samples of every task as files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from textapp.demo.samples.generator import make_samples
from textapp.demo.samples.pairs import make_pairs
from textapp.demo.samples.passages import make_passages
from textapp.demo.samples.questions import make_documents, make_questions

SPLITS = ("train", "test")
DOCUMENTS = "documents"


def write_samples(folder: Path) -> None:
    """Writes train and test of every task.

    Classification: train.tsv and test.tsv with the header `label, text`. Translation: train.zh and train.en, test.zh
    and test.en, whose lines belong together. Generation: train.jsonl and test.jsonl, a passage as `text` in each line.
    Question answering: train.json and test.json in SQuAD's layout, and the folder documents/ with texts to ask.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, reviews in zip(SPLITS, make_samples(), strict=True):
        _write(folder / f"{split}.tsv", ["label\ttext", *(f"{review.label}\t{review.text}" for review in reviews)])
    for split, pairs in zip(SPLITS, make_pairs(), strict=True):
        _write(folder / f"{split}.zh", (pair.source for pair in pairs))
        _write(folder / f"{split}.en", (pair.target for pair in pairs))
    for split, passages in zip(SPLITS, make_passages(), strict=True):
        _write(folder / f"{split}.jsonl", (json.dumps({"text": text}, ensure_ascii=False) for text in passages))
    for split, questions in zip(SPLITS, make_questions(), strict=True):
        _write(folder / f"{split}.json", [json.dumps(questions, ensure_ascii=False, indent=1)])
    (folder / DOCUMENTS).mkdir(exist_ok=True)
    for name, text in make_documents().items():
        _write(folder / DOCUMENTS / name, text.splitlines())


def _write(file: Path, lines: Iterable[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
