"""Weights that the signatures of a file share stay shared after every method of compression."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from textapp.catalog import parse_config
from textapp.commands.compress import compress
from textapp.commands.export import export
from textapp.commands.train import train_config
from textapp.export.flatbuffer.graphs import parse
from textapp.export.options import ExportOptions
from textapp.models.saving import load_float32

LEAST = 1024  # weights of a matrix that a file quantizes


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writer")
    words = ("one", "two", "three", "four", "five", "six")
    lines = [f"{first} {second} {first}" for first in words for second in words]
    (folder / "texts.txt").write_text("\n\n".join(lines * 2), encoding="utf-8")
    config = {
        "task": "generation", "run": str(folder / "run"), "data": {"train": "texts.txt", "validation": 0.2},
        "lengths": [32], "generate_lengths": [[8, 8], [16, 16]], "tokenizer": {"kind": "characters"},
        "model": {
            "architecture": "transformer", "dropout": 0, "hidden_dim": 48, "num_heads": 2, "num_layers": 2,
            "intermediate_dim": 96,
        },
        "training": {"epochs": 1, "device": "cpu", "batch_size": 8},
    }  # fmt: skip
    return train_config(parse_config(config), folder)


@pytest.mark.parametrize(
    ("steps", "quantize"),
    [
        ("[{method: prune, sparsity: 0.5, epochs: 1, ramp: 0.2}]", "none"),
        ("[{method: cluster, clusters: 16, embeddings: true, epochs: 1}]", "dynamic"),
        ("[{method: structure, keep: 0.5, teacher: false, epochs: 1, examples: 8}, "
         "{method: quantize_aware, epochs: 1}]", "dynamic"),
    ],
)  # fmt: skip
def test_each_matrix_stands_once_in_a_file_of_several_signatures(
    writer: Path, tmp_path: Path, steps: str, quantize: str
) -> None:
    (tmp_path / "less.yaml").write_text(f"steps: {steps}", encoding="utf-8")
    made = compress(writer, tmp_path / "less.yaml", new_run=str(tmp_path / "made"))
    bundle = export(made, ExportOptions("litert", quantize, max_drop=100.0))

    file = parse((bundle / "model.tflite").read_bytes())
    assert len(file.signatureDefs) > 2
    size = 4 if quantize == "none" else 1
    matrices = [weight for weight in load_float32(made / "model.keras").weights if len(weight.shape) == 2]
    expected = Counter(
        size * int(weight.shape[0] * weight.shape[1])
        for weight in matrices
        if weight.shape[0] * weight.shape[1] >= LEAST and "position" not in weight.path
    )
    found = Counter(len(buffer.data) for buffer in file.buffers if buffer.data is not None)
    assert expected and {count: found[count] for count in expected} == expected
