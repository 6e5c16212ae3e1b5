"""Generation from texts to inputs and targets."""

from __future__ import annotations

from pathlib import Path

from language_presets import byte_level, sentence_pieces

from textapp.arrays import IGNORED
from textapp.catalog import parse_config, recipe_of
from textapp.recipes.generation import _documents, _one_stream
from textapp.records.splits import Splits
from textapp.records.token_ids import IdsOnDisk
from textapp.tasks.generation import GenerationTask
from textapp.text.preset import preset_tokenizer


def task_and_ids(folder: Path, spell, prefix: str, **settings) -> tuple[GenerationTask, IdsOnDisk]:
    spell(folder / "preset", prefix)
    tokenizer = preset_tokenizer(folder / "preset")
    tokenizer.save(folder / "tokenizer")
    return GenerationTask(tokenizer, [64], **settings), IdsOnDisk(folder, tokenizer.ids, folder / "tokenizer")


def test_an_end_that_is_also_the_padding_is_learned(tmp_path: Path) -> None:
    task, ids = task_and_ids(tmp_path, byte_level, "GPT2")
    end, (prompt, text) = task.end_id, (task.tokenizer.ids("red"), task.tokenizer.ids(" blue"))
    assert task.tokenizer.pad_id == task.start_id == end
    (document,) = _documents(task, [{"prompt": "red", "text": " blue"}], ids)
    assert document.inputs.tolist() == [end, *prompt, *text]
    assert document.targets.tolist() == [*[IGNORED] * len(prompt), *text, end]


def test_running_text_of_a_preset_is_tokenised_as_one(tmp_path: Path) -> None:
    """Line by line each line would begin with the blank that a Llama puts before a text."""
    task, ids = task_and_ids(tmp_path, sentence_pieces, "Llama", running_text=True)
    text = "red house\nthe sea\n\nblue dog"
    (document,) = _one_stream(task, [{"text": text}], ids)
    assert document.inputs.tolist() == task.tokenizer.ids(text)
    assert task.tokenizer.decode(document.inputs) == text


def test_the_profile_reads_the_cleaned_texts() -> None:
    texts = [{"text": f"<p class='x'>好{n % 6}\n好看</p>"} for n in range(12)]
    config = parse_config({
        "task": "generation", "run": "r", "data": {"train": "a.jsonl"}, "model": {"architecture": "transformer"},
        "cleaning": ["html", "whitespace"], "tokenizer": {"kind": "characters"},
    })  # fmt: skip
    recipe = recipe_of("generation")
    found = recipe.profile(config, Splits(texts, [{"text": "好1\n好看"}], [], {"train": "a"}))
    assert found["languages"]["text"]["language"] == "zh"
    assert found["duplicates"]["rows"] == 6 and found["overlaps"]["validation"]["rows"] == 1
    assert found["characters"]["train"] == 12 * len("好1\n好看")
