"""Texts written for this project, for the demo and for tests: reviews, pairs of sentences, and short passages."""

from __future__ import annotations

from textapp.records.samples.files import write_samples
from textapp.records.samples.generator import Sample, make_samples
from textapp.records.samples.pairs import Pair, make_pairs
from textapp.records.samples.passages import make_passages

__all__ = ["Pair", "Sample", "make_pairs", "make_passages", "make_samples", "write_samples"]
