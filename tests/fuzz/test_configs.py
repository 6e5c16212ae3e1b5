"""Damaged configs give a config or an error of ours, in no time."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from damaged import BYTES, TOKENS, damaged, flipped
from hypothesis import given, settings
from hypothesis import strategies as st

from textapp.catalog import load_config
from textapp.config import save_config
from textapp.errors import ConfigError

EXAMPLES = int(os.environ.get("TEXTAPP_FUZZ", "100"))
CONFIGS = (
    "task: classification\nrun: saved_models/a\nseed: 7\ndata:\n  train: [a.csv, 'b*.csv']\n  test: 0.2\n"
    "  columns: {text: 1, label: [stars, 0]}\n  labels: multiple\n  label_separator: '|'\n"
    "  pattern: '(?P<label>\\S+) (?P<text>.*)'\n"
    "cleaning: [nfkc, html]\nlengths: [16, 32]\nmodel:\n  architecture: cnn\n  filters: 32\ntraining:\n  epochs: 3\n"
    "  learning_rate: 1e-3\n  class_weights: {no: 1.0, 0: 2}\n",
    "task: translation\nrun: a\ndata:\n  train: {source: a.zh, target: a.en}\n"
    "  source_language: zh-CN\n  target_language: en\n"
    "generate_lengths: [[16, 24], [32, 48]]\nmodel: {architecture: transformer, num_layers: 2}\n",
    'task: generation\nrun: "a\\tb"\ndata:\n  train: |\n    a.txt\n  encoding: gb18030\n'
    "model:\n  architecture: lstm\ntokenizer:\n"
    "  kind: characters\n",
)  # fmt: skip


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(CONFIGS).flatmap(lambda text: damaged(text, TOKENS)), st.data())
def test_damaged_configs(text: str, data: st.DataObject) -> None:
    content = text.encode("utf-8", "surrogatepass")
    if data.draw(st.integers(0, 3)) == 0:
        content = data.draw(flipped(data.draw(damaged(content, BYTES))))
    overrides = data.draw(st.sampled_from([[], [], ["training.epochs=2"], [text[:40]], ["data=[1, {a: b}]"]]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_bytes(content)
        started = time.monotonic()
        try:
            config = load_config(path, overrides)
        except ConfigError as error:
            lines = str(error).split("\n")
            assert all(line.strip() and len(line) < 1500 for line in lines) and len(lines) <= 21, lines
            str(error).encode("utf-8")
        else:
            save_config(config, path)
            assert load_config(path) == config
        assert time.monotonic() - started < 10
