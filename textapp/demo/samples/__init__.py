"""Texts written for this project, for the demo and for tests: reviews, pairs of sentences, and short passages."""

from __future__ import annotations

from textapp.demo.samples.files import write_samples
from textapp.demo.samples.generator import Sample, make_samples
from textapp.demo.samples.pairs import Pair, make_pairs
from textapp.demo.samples.passages import make_passages

__all__ = ["Pair", "Sample", "make_pairs", "make_passages", "make_samples", "write_samples"]
