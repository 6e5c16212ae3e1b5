"""Draws questions at random from a file in SQuAD's layout: `python benchmarks/squad_sample.py FILE 25000 SAMPLE`."""

from __future__ import annotations

import argparse
import gzip
import json
import random
from pathlib import Path

SEED = 7


def sample(document: dict, count: int) -> dict:
    """The same articles and paragraphs with `count` of their questions; those without any are left out."""
    ids = [id(item) for article in document["data"] for part in article["paragraphs"] for item in part["qas"]]
    chosen = set(random.Random(SEED).sample(ids, count))
    articles = []
    for article in document["data"]:
        parts = [
            {**part, "qas": [item for item in part["qas"] if id(item) in chosen]} for part in article["paragraphs"]
        ]
        articles.append({**article, "paragraphs": [part for part in parts if part["qas"]]})
    return {**document, "data": [article for article in articles if article["paragraphs"]]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="SQuAD's JSON, also .gz")
    parser.add_argument("count", type=int, help="questions to draw")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    content = options.file.read_bytes()
    text = gzip.decompress(content) if options.file.suffix == ".gz" else content
    drawn = sample(json.loads(text), options.count)
    options.output.write_text(json.dumps(drawn, ensure_ascii=False), encoding="utf-8")
