"""Every config that the repository ships loads, and is complete once resolved."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.catalog import load_config, recipe_of
from textapp.config import Config

ROOT = Path(__file__).parents[1] / "configs"
CONFIGS = [path for path in sorted(ROOT.rglob("*.yaml")) if path.parent.name != "compression"]  # those are recipes


def test_there_are_configs() -> None:
    assert ROOT / "classification" / "sst2_cnn.yaml" in CONFIGS


def writes(config: Config) -> bool:
    return recipe_of(config.task, config.mode).keys.role in ("decoder", "encoder-decoder")


def resolved(config: Config) -> Config:
    recipe, counts = recipe_of(config.task, config.mode), [5] * 50 + [30] * 50
    if not writes(config):
        return recipe.resolve(config, 5000, "en", counts)
    languages = ("en", "en") if recipe.keys.role == "encoder-decoder" else "en"
    return recipe.resolve(config, 5000, languages, counts, counts)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
class TestEveryConfig:
    def test_is_complete_once_resolved(self, path: Path) -> None:
        config = resolved(load_config(path))
        training = config.training
        assert config.lengths and config.cleaning is not None
        assert (training.batch_size is None) != (training.batch_tokens is None)
        assert None not in (training.epochs, training.learning_rate, training.schedule, training.monitor)
        assert (config.generate_lengths is None) != writes(config)

    def test_says_what_it_is_for(self, path: Path) -> None:
        assert path.read_text(encoding="utf-8").startswith("# ")

    def test_runs_into_saved_models(self, path: Path) -> None:
        assert Path(load_config(path).run).parts[0] == "saved_models"

    def test_lies_in_the_folder_of_its_task(self, path: Path) -> None:
        assert path.relative_to(ROOT).parts[0] == load_config(path).task

    def test_names_files_that_exist(self, path: Path, data_dir: Path) -> None:
        from textapp.records.files import expand
        from textapp.records.sources import parallel_sides

        data = load_config(path).data
        for source in (data.train, data.validation, data.test):
            if source is not None and not isinstance(source, float):
                for files in parallel_sides(source) or [source]:
                    assert expand(files, data_dir)


def test_no_two_configs_write_to_one_run() -> None:
    runs = [load_config(path).run for path in CONFIGS]
    assert len(set(runs)) == len(runs)


def test_the_article_model_has_the_numbers_of_the_article() -> None:
    config = load_config(ROOT / "classification" / "article_lstm.yaml")
    model, training = config.model, config.training
    assert (model.embedding_dim, model.units, model.dense_units, model.bidirectional) == (50, [128, 64], 64, False)
    assert (training.optimizer, training.learning_rate, training.schedule) == ("adam", 1e-3, "constant")
    assert (training.batch_size, training.epochs, config.data.validation, config.lengths) == (32, 10, 0.2, [100])
