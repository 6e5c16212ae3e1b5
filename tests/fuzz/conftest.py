"""A bundle of each task, whose models need no training, and a tokenizer of each kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asking import Asker
from conftest import made_once
from writers import make_documents, make_pairs, make_writer

from textapp.text.training import train_tokenizer

Bundles = Callable[[str], Path]


@pytest.fixture(scope="session")
def bundle_of(shared_folder: Path, request: pytest.FixtureRequest) -> Bundles:
    """The bundle of a task by its name. Read only."""

    def made(task: str) -> Path:
        if task == "classification":
            return request.getfixturevalue("tiny_bundle")

        def make(folder: Path) -> None:
            from exports import export_run

            records = make_pairs(8) if task == "translation" else make_documents(8)
            lengths = {"lengths": [8] if task == "translation" else [24], "generate_lengths": [[8, 12]]}
            run = make_writer(folder.with_name(f"{folder.name}-run"), records, lengths, steps=0)
            export_run(run, "litert", "none", 100.0, records, out=folder)

        return made_once(shared_folder / f"fuzz-{task}", make)

    return made


@pytest.fixture(scope="session")
def tokenizer_of(shared_folder: Path) -> Bundles:
    """The folder of a tokenizer by its kind. Read only."""
    texts = [record["text"] for record in make_documents(60)] + ["酒店很好", "good, bad"]
    size = {"characters": 40}

    def made(kind: str) -> Path:
        return made_once(
            shared_folder / f"fuzz-{kind}",
            lambda folder: train_tokenizer(kind, size.get(kind, 80), texts, ("nfkc", "lowercase"), "en").save(folder),
        )

    return made


@pytest.fixture(scope="module")
def ask() -> Iterator[Asker]:
    """Opens and asks a bundle in another process."""
    asker = Asker()
    yield asker
    asker.close()


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a folder, to be damaged."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path / folder.name))
