"""Sentence pairs on their way to a model: what stands around them, and room for all that a batch holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from translator_presets import save_preset

from textapp.batches.pipeline import dataset
from textapp.commands.prepare import prepare
from textapp.config import parse_config
from textapp.records.loading import Splits

PAIRS = [{"source": "red dog " * (1 + place % 2), "target": "blue sea " * (1 + place % 2)} for place in range(24)]


def prepared(folder: Path, model: dict[str, object], **changes: object):
    config = parse_config({
        "task": "translation", "run": "r", "data": {"train": "a", "source_language": "en", "target_language": "en"},
        "model": model, "training": {"batch_size": 4}, **changes,
    })  # fmt: skip
    return prepare(config, Splits(PAIRS[:16], PAIRS[16:], [], {}), folder)


def first_batch(found):
    source = found.batches()
    plan = source.plan(0)
    return next(iter(dataset(source.maker(plan), plan.steps, 0, replicas=1, first=0, local=1)))


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rope"])
def test_a_model_has_room_for_padding_to_eights(positions: str, tmp_path: Path) -> None:
    model = {"architecture": "transformer", "hidden_dim": 8, "num_heads": 2, "num_layers": 1, "positions": positions}
    lengths = {"lengths": [12], "generate_lengths": [[12, 11]], "tokenizer": {"vocabulary_size": 40}}
    found = prepared(tmp_path, model, **lengths)
    features = first_batch(found)["features"]
    logits = found.build()({**features, "token_ids": np.ones([4, 16], int), "target_ids": np.ones([4, 16], int)})
    assert logits.shape[1] == 16


def test_a_presets_tokens_stand_around_both_sides(tmp_path: Path) -> None:
    save_preset("bart", tmp_path / "bart")
    found = prepared(tmp_path / "run", {"architecture": "preset", "path": str(tmp_path / "bart")})
    tokenizer = found.task.tokenizer
    start, end = tokenizer.template.start[0], tokenizer.end_id
    batch = first_batch(found)
    read, new = (batch["features"][name].numpy()[0] for name in ("token_ids", "target_ids"))
    said = batch["targets"].numpy()[0]
    said = said[said != -1].tolist()
    assert read[0] == start and end in read.tolist()
    assert (said[0], said[-1]) == (start, end) and new[: len(said)].tolist() == [end, *said[:-1]]
    # The preset reads 32 tokens: what is longer is not asked of it.
    assert found.config.lengths[-1] <= 31 and found.most_new <= 31
    assert found.build().vocabulary_size == tokenizer.vocabulary_size
