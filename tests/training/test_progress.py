from __future__ import annotations

from textapp.training import progress
from textapp.training.progress import BarProgress, LineProgress, make_progress

ROW = {"epoch": 1, "loss": 0.40119, "seconds": 12.31, "examples_per_second": 5400.2, "validation_accuracy": 84.2,
       "validation_loss": 0.5}  # fmt: skip


def run(shown: LineProgress) -> None:
    shown.begin(1, 5, 100, 0)
    shown.update(50, 0.7)
    shown.end(ROW)
    shown.close()


def test_lines_say_all_figures_on_stderr(capsys, monkeypatch) -> None:
    run(LineProgress())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "epoch 1/5  loss 0.4012  validation_accuracy 84.20  validation_loss 0.5000  12.3 s  5,400 examples/s\n"
    )
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    run(LineProgress())
    assert "epoch 1/5  step 50/100  loss 0.7000\n" in capsys.readouterr().err


def test_the_bar_survives_several_epochs_and_a_break(capsys) -> None:
    bar = BarProgress()
    run(bar)
    bar.begin(2, 5, 100, 30)
    bar.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "epoch 1/5  loss 0.4012" in captured.err


def test_lines_where_stderr_is_no_terminal(monkeypatch) -> None:
    assert type(make_progress()) is LineProgress
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(make_progress(), BarProgress)
