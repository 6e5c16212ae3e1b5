"""A few thousand short reviews, English and Chinese, written for this project: for the demo and for tests."""

from __future__ import annotations

from textapp.records.samples.generator import Sample, make_samples, write_samples

__all__ = ["Sample", "make_samples", "write_samples"]
