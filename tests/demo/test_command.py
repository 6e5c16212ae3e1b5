from __future__ import annotations

import pytest

from textapp.catalog import parse_config, recipe_of
from textapp.demo import command
from textapp.demo.samples import make_pairs, make_passages, make_questions, make_samples, write_samples
from textapp.errors import TextappError, UsageError
from textapp.recipes.splits import load_splits


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@pytest.mark.parametrize("part", command.PARTS, ids=lambda part: part.config["task"])
def test_every_part_trains_on_the_samples(part, samples) -> None:
    config = parse_config({**part.config, "run": "demo"})
    splits = load_splits(recipe_of(config.task), config, samples)
    assert len(splits.train) > 2000 and len(splits.validation) > 50 and len(splits.test) >= 200


def test_one_part_a_task_in_a_folder_of_its_own() -> None:
    assert [part.config["task"] for part in command.PARTS] == [
        "classification", "translation", "generation", "question_answering"
    ]  # fmt: skip
    assert len({part.suffix for part in command.PARTS}) == len(command.PARTS)


def test_nothing_that_is_asked_stands_in_the_samples() -> None:
    texts = [sample.text for split in make_samples() for sample in split]
    texts += [side for split in make_pairs() for pair in split for side in pair]
    texts += [passage for split in make_passages() for passage in split]
    for split in make_questions():
        for paragraph in split["data"][0]["paragraphs"]:
            texts += [paragraph["context"], *(question["question"] for question in paragraph["qas"])]
    for part in command.PARTS:
        for asked in part.texts:
            assert not any(asked.rstrip("。.") in text for text in texts), asked


def test_a_bundle_that_cannot_answer_is_named(tmp_path) -> None:
    with pytest.raises(TextappError, match="cannot answer without TensorFlow"):
        command.answer_without_tensorflow(tmp_path / "none", ("a",))


@pytest.mark.parametrize("name", ["demo", "demo-data"])
def test_what_is_not_of_a_demo_is_not_replaced(tmp_path, name) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "train.tsv").write_text("hours of work")
    with pytest.raises(UsageError, match=f"{name}: exists and is not of a demo: use --run DIR"):
        command.demo(tmp_path / "demo")
    assert (tmp_path / name / "train.tsv").read_text() == "hours of work"
