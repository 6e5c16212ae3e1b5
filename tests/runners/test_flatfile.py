"""A .tflite file is walked through before an interpreter trusts it."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textapp.errors import ArtifactError
from textapp.processes import child_environment
from textapp.runners.flatfile import SignatureShapes, check_flatfile, copy_of_one

FLIPS = 60
# Opens and runs each file, and prints a line for each: a crash shows as a missing one.
PROGRAM = """
import sys
import numpy as np
from textapp.errors import ArtifactError
from textapp.runners import compiled, edge
from textapp.runners.edge import EdgeRunner
if sys.argv[1] == "large":
    edge.MIN_BYTES = compiled._WORTH_A_COPY = 0
for path in sys.argv[2:]:
    try:
        runner = EdgeRunner(path)
        for name, shapes in runner.shapes.items():
            runner.run(name, {key: np.ones(shape, np.int32) for key, shape in shapes.inputs.items()})
        print("answered", flush=True)
    except (ArtifactError, ValueError, KeyError):
        print("refused", flush=True)
"""


def test_the_shapes_of_its_signatures(model_path: Path) -> None:
    assert check_flatfile(model_path) == {
        f"classify_{length}": SignatureShapes({"token_ids": (1, length)}, {"probabilities": (1, 3)})
        for length in (4, 8)
    }


@pytest.mark.parametrize("size", ["small", "large"])
def test_bit_flips_give_an_answer_or_an_error(model_path: Path, tmp_path: Path, size: str) -> None:
    content, dice, paths = model_path.read_bytes(), random.Random(5), []
    # Numbers below the size of the file are mostly offsets and indices.
    places = [at for at in range(0, len(content) - 4, 4) if struct.unpack_from("<I", content, at)[0] < len(content)]
    for number in range(FLIPS):
        changed, at = bytearray(content), dice.choice(places)
        if number % 2:
            changed[at + dice.randrange(4)] ^= 1 << dice.randrange(8)
        else:
            struct.pack_into("<I", changed, at, dice.choice([0, 1, 2, 5, 255, 2**31 - 1, 2**32 - 1]))
        paths.append(tmp_path / f"{number}.tflite")
        paths[-1].write_bytes(changed)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, size, *map(str, paths)],
        env=child_environment(), capture_output=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    lines = done.stdout.split()
    assert done.returncode == 0, f"{paths[len(lines)].name}: {done.stderr[-500:]}"
    assert len(lines) == FLIPS and {"answered", "refused"} == set(lines)


def put_first(owner: Any, name: str, value: int) -> None:
    """Replaces the first number of a list."""
    setattr(owner, name, [value, *list(getattr(owner, name))[1:]])


CHANGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "buffer": (lambda model: setattr(model.subgraphs[0].tensors[0], "buffer", 10**6), "the buffer of a tensor has the"),
    "code": (lambda model: setattr(model.subgraphs[0].operators[0], "opcodeIndex", 99), "the code of an operator"),
    "input": (lambda model: put_first(model.subgraphs[0].operators[0], "inputs", 4000), "an input of an operator"),
    "missing": (lambda model: put_first(model.subgraphs[0].operators[0], "inputs", -1), "an input of an operator"),
    "output": (lambda model: put_first(model.subgraphs[0], "outputs", -5), "an input or an output of a graph"),
    "order": (lambda model: model.subgraphs[0].operators.reverse(), "before it is computed"),
    "shape": (lambda model: put_first(model.subgraphs[0].tensors[0], "shape", -7), "has the shape"),
    "huge": (lambda model: put_first(model.subgraphs[0].tensors[-1], "shape", 2**30), "expected at most 2048 MB"),
    "type": (lambda model: setattr(model.subgraphs[0].tensors[0], "type", 77), "unknown type 77"),
    "graph": (lambda model: setattr(model.signatureDefs[0], "subgraphIndex", 9), "the graph of the signature"),
    "tensor": (lambda model: setattr(model.signatureDefs[0].inputs[0], "tensorIndex", 1), "its graph does not list"),
    "cut": (lambda model: setattr(_constant(model), "data", _constant(model).data[:8]), "has 8 bytes, expected"),
}


def import_graphs() -> Any:
    pytest.importorskip("tensorflow")
    from textapp.export.flatbuffer import graphs

    return graphs


def _constant(model: Any) -> Any:
    return max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_out_of_range_is_named(model_path: Path, tmp_path: Path, name: str) -> None:
    graphs = import_graphs()
    change, message = CHANGES[name]
    model = graphs.parse(model_path.read_bytes())
    change(model)
    (tmp_path / "model.tflite").write_bytes(graphs.pack(model))
    with pytest.raises(ArtifactError, match=rf"model\.tflite: the file is damaged: .*{message}"):
        check_flatfile(tmp_path / "model.tflite")


def test_a_copy_has_the_graphs_of_one_signature(model_path: Path, tmp_path: Path) -> None:
    graphs = import_graphs()
    before = graphs.parse(model_path.read_bytes())
    copy = copy_of_one(model_path, "classify_8", 1)
    assert copy is not None
    content = Path(f"/proc/self/fd/{copy}").read_bytes()
    os.close(copy)
    after = graphs.parse(content)
    assert [each.signatureKey for each in after.signatureDefs] == [b"classify_8"]
    number = after.signatureDefs[0].subgraphIndex
    for place, (graph, kept) in enumerate(zip(before.subgraphs, after.subgraphs, strict=True)):
        assert len(kept.operators) == (len(graph.operators) if place == number else 0)
    (tmp_path / "model.tflite").write_bytes(content)
    assert check_flatfile(tmp_path / "model.tflite") == {"classify_8": check_flatfile(model_path)["classify_8"]}
    others = len(before.subgraphs[1 - number].operators)
    assert copy_of_one(model_path, "classify_8", others + 1) is None


def test_a_copy_is_checked(model_path: Path, tmp_path: Path) -> None:
    graphs = import_graphs()
    model = graphs.parse(model_path.read_bytes())
    number = next(each.subgraphIndex for each in model.signatureDefs if each.signatureKey == b"classify_8")
    put_first(model.subgraphs[number].operators[0], "inputs", 4000)
    file = tmp_path / "model.tflite"
    file.write_bytes(graphs.pack(model))
    assert set(check_flatfile(file, graphs=False)) == {"classify_4", "classify_8"}
    with pytest.raises(ArtifactError, match=r"model\.tflite: the file is damaged: an input of an operator"):
        copy_of_one(file, "classify_8", 0)
    copy = copy_of_one(file, "classify_4", 0)  # the fault is not in it
    assert copy is not None
    os.close(copy)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0\0\0\0TFL3", b"PK\3\4" * 100])
def test_what_is_no_such_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(ArtifactError, match="the file is damaged"):
        check_flatfile(tmp_path / "model.tflite")
