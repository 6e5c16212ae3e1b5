from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from textapp.metrics.size import peak_memory_mb, size_bytes


def test_size_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c").write_bytes(b"x" * 5)
    assert size_bytes(tmp_path / "a") == 10
    assert size_bytes(str(tmp_path)) == 15


def test_peak_memory_keeps_what_was_freed() -> None:
    script = (
        "from textapp.metrics.size import peak_memory_mb; before = peak_memory_mb();"
        "block = bytearray(64 << 20); del block; print(before, peak_memory_mb())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert 1 < before < 500
    assert 60 < after - before < 80
    assert peak_memory_mb() > 1
