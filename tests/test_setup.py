"""What setup.py puts into a wheel."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def arguments(monkeypatch):
    """The arguments of the call of `setup`, which builds nothing here."""
    setuptools = pytest.importorskip("setuptools")
    arguments = {}
    monkeypatch.setattr(setuptools, "setup", arguments.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    return arguments


def test_a_wheel_holds_every_package_but_the_demo(arguments) -> None:
    packages = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "textapp").rglob("__init__.py")}
    demo = {package for package in packages if package.startswith("textapp.demo")}
    assert demo == {"textapp.demo", "textapp.demo.samples"}
    assert set(arguments["packages"]) == packages - demo


def test_the_package_data_exists(arguments) -> None:
    for package, patterns in arguments["package_data"].items():
        folder = ROOT.joinpath(*package.split("."))
        assert package in arguments["packages"]
        assert [pattern for pattern in patterns if not any(folder.glob(pattern))] == []
