from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from textapp.report import plots
from textapp.report.plots import confusion_plot

PNG = b"\x89PNG\r\n\x1a\n"


def image_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(PNG)
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


@pytest.mark.parametrize(
    "labels",
    [["bad", "good"], ["坏", "好"], ["سيئ", "جيد"], ["5$", "$^$"], ["a label of more than thirty characters", "b"]],
)
def test_any_label_is_drawn_without_a_warning(tmp_path: Path, labels: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = confusion_plot([[8, 2], [0, 0]], labels, tmp_path / "confusion.png", title="测试 test")
    assert min(image_size(path)) > 300


def test_labels_without_a_font_are_numbered_and_the_picture_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = plots._font_with
    monkeypatch.setattr(plots, "_font_with", lambda text: None if "好" in text else real(text))
    names, font, heading = plots._drawable(["坏", "好"], "title")
    assert names == ["1", "2"] and font is not None and "numbered" in heading


def test_a_font_of_boxes_is_no_font() -> None:
    assert plots._font_with("\U000f1234") is None  # private use: no font that one installs has it
    assert plots._drawable(["bad", "good"], "\U000f1234")[0::2] == (["bad", "good"], "")


def test_fifty_classes_make_a_larger_picture(tmp_path: Path) -> None:
    many = [[int(row == column) for column in range(50)] for row in range(50)]
    large = confusion_plot(many, [f"class {index}" for index in range(50)], tmp_path / "many.png")
    small = confusion_plot([[1]], ["one"], tmp_path / "one.png")
    assert image_size(large)[0] > 2 * image_size(small)[0]


def test_a_matrix_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 2\), expected a row and a column for each of 2 labels"):
        confusion_plot([[1, 2]], ["a", "b"], tmp_path / "never.png")


def test_drawing_leaves_pyplot_and_the_display_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from textapp.report.plots import confusion_plot; "
        f"confusion_plot([[1]], ['a'], Path({str(tmp_path / 'one.png')!r})); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
