"""Texts written for this project, for the demo and for tests: reviews, pairs of sentences, short passages,
and questions about short texts."""

from __future__ import annotations

from textapp.demo.samples.files import DOCUMENTS, write_samples
from textapp.demo.samples.generator import Sample, make_samples
from textapp.demo.samples.pairs import Pair, make_pairs
from textapp.demo.samples.passages import make_passages
from textapp.demo.samples.questions import make_documents, make_questions

__all__ = [
    "DOCUMENTS", "Pair", "Sample", "make_documents", "make_pairs", "make_passages", "make_questions", "make_samples",
    "write_samples",
]  # fmt: skip
