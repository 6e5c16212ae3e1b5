"""Sentence pairs on their way to a model: what stands around them, and room for all that a batch holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from translator_presets import save_preset

from textapp.batches.pipeline import dataset
from textapp.catalog import parse_config, recipe_of
from textapp.errors import DataError
from textapp.prepared import Prepared
from textapp.records.splits import Splits

RECIPE = recipe_of("translation")
OBJECTIVE = RECIPE.objective()

PAIRS = [{"source": "red dog " * (1 + place % 2), "target": "blue sea " * (1 + place % 2)} for place in range(24)]


def prepared(folder: Path, model: dict[str, object], **changes: object) -> Prepared:
    config = parse_config({
        "task": "translation", "run": "r", "data": {"train": "a", "source_language": "en", "target_language": "en"},
        "model": model, "training": {"batch_size": 4}, **changes,
    })  # fmt: skip
    return RECIPE.prepare(config, Splits(PAIRS[:16], PAIRS[16:], [], {}), folder)


def batches(found):
    source = OBJECTIVE.batches(found)
    plan = source.plan(0)
    return iter(dataset(source.maker(plan), plan.steps, 0, replicas=1, first=0, local=1))


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rope"])
def test_padding_ends_where_the_positions_of_each_side_do(positions: str, tmp_path: Path) -> None:
    model = {"architecture": "transformer", "hidden_dim": 8, "num_heads": 2, "num_layers": 1, "positions": positions}
    sizes = {"lengths": [20], "generate_lengths": [[20, 20]], "tokenizer": {"kind": "characters"}}
    found = prepared(tmp_path, model, **sizes)
    features = next(batch for batch in batches(found) if batch["features"]["token_ids"].shape[1] > 16)["features"]
    assert [features[name].shape[1] for name in ("token_ids", "target_ids")] == [18, 20]
    assert OBJECTIVE.build(found)(features).shape[1] == 20


def test_a_presets_tokens_stand_around_both_sides(tmp_path: Path) -> None:
    save_preset("bart", tmp_path / "bart")
    found = prepared(tmp_path / "run", {"architecture": "preset", "path": str(tmp_path / "bart")})
    tokenizer = found.task.tokenizer
    start, end = tokenizer.template.start[0], tokenizer.end_id
    batch = next(batches(found))
    read, new = (batch["features"][name].numpy()[0] for name in ("token_ids", "target_ids"))
    said = batch["targets"].numpy()[0]
    said = said[said != -1].tolist()
    assert read[0] == start and end in read.tolist()
    assert (said[0], said[-1]) == (start, end) and new[: len(said)].tolist() == [end, *said[:-1]]
    # The preset reads 32 tokens: what is longer is not asked of it.
    assert found.config.lengths[-1] <= 31 and found.task.max_new_tokens <= 31
    assert OBJECTIVE.build(found).vocabulary_size == tokenizer.vocabulary_size


@pytest.mark.parametrize("chinese", ["zh", "zh_CN"])
def test_a_shared_vocabulary_marks_starts_of_words_for_the_side_with_spaces(chinese: str, tmp_path: Path) -> None:
    languages = {"source_language": chinese, "target_language": "en"}
    model = {"architecture": "transformer", "hidden_dim": 8, "num_heads": 2, "num_layers": 1}
    shared = {"kind": "characters", "shared": True}
    tokenizer = prepared(tmp_path, model, data={"train": "a", **languages}, tokenizer=shared).task.tokenizer
    assert len(tokenizer.ids("blue")) == 5


WORDS = [{"source": f"{word} {other}", "target": f"{other} {word}"} for word in "abcdefgh" for other in "ijklmnop"]


def of_characters(pairs: list[dict], folder: Path, **keys: object) -> Prepared:
    given = parse_config({
        "task": "translation", "run": "r", "data": {"train": "a"}, "model": {"architecture": "lstm"},
        "tokenizer": {"kind": "characters", "vocabulary_size": 100}, **keys,
    })  # fmt: skip
    return RECIPE.prepare(given, Splits(pairs, pairs[:4], [], {}), folder)


def test_a_vocabulary_that_lacks_much_of_train_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "textapp"):
        of_characters(WORDS, tmp_path / "large")
        assert not caplog.messages
        of_characters(WORDS, tmp_path / "small", tokenizer={"kind": "characters", "vocabulary_size": 16})
    (message,) = dict.fromkeys(text.replace("sources", "targets") for text in caplog.messages)
    assert "% of the tokens of the training targets are not in the vocabulary of 16: raise tokenizer" in message


def test_lengths_that_no_pair_fits_into_are_told(tmp_path: Path) -> None:
    found = of_characters(WORDS, tmp_path, lengths=[16], generate_lengths=[[16, 2]])
    with pytest.raises(DataError, match="none of 64 training pairs has .* a target of at most 2: raise lengths"):
        OBJECTIVE.batches(found)


@pytest.mark.parametrize(
    ("source", "target", "given", "expected"),
    [
        ("train.de", "train.en", {}, ["de", "en"]),
        (["a.fr.gz", "b.fr"], "train.txt", {}, ["fr", "en"]),
        (["a.fr", "b.de"], "b.nl", {"target_language": "es"}, ["en", "es"]),
        ("train.zh", "train.xq", {}, ["en", "en"]),  # the texts are no Chinese, and there is no such language
    ],
)
def test_the_names_of_parallel_files_tell_the_language(
    source: object, target: object, given: dict[str, str], expected: list[str]
) -> None:
    config = parse_config({
        "task": "translation", "run": "r", "data": {"train": {"source": source, "target": target}, **given},
        "model": {"architecture": "transformer"}, "tokenizer": {"kind": "characters"},
    })  # fmt: skip
    assert RECIPE.languages(config, WORDS) == expected
    profile = RECIPE.profile(config, Splits(WORDS, WORDS[:4], [], {}))
    assert [profile["languages"][side]["language"] for side in ("source", "target")] == expected


def test_the_profile_reads_the_cleaned_texts() -> None:
    pairs = [{"source": f"<p class='x'>好{n}</p>", "target": f"<p class='x'>good {n}</p>"} for n in range(12)]
    pairs += [{"source": "好1", "target": "good 1"}]
    config = parse_config({
        "task": "translation", "run": "r", "data": {"train": "a"}, "model": {"architecture": "transformer"},
        "cleaning": ["html", "whitespace"], "tokenizer": {"kind": "characters"},
    })  # fmt: skip
    found = RECIPE.profile(config, Splits(pairs, [{"source": "<b>好2</b>", "target": "x"}], [], {"train": "a"}))
    assert found["languages"]["source"]["language"] == "zh"
    assert found["duplicates"]["rows"] == 1
    assert found["overlaps"]["validation"]["examples"] == [{"source": "好2", "target": "x"}]
    assert found["unknown"]["source"]["train"]["examples"] == []
