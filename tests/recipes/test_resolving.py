"""A config with nothing but data and architecture becomes complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.catalog import load_config, parse_config, recipe_of
from textapp.config import save_config
from textapp.config.model import heads_for
from textapp.errors import ConfigError, DataError
from textapp.recipes.generative_defaults import batch_tokens_for
from textapp.recipes.resolving import locate

classification = recipe_of("classification").resolve
generation = recipe_of("generation").resolve


def config_of(task: str, architecture: str = "transformer", train: str = "a.jsonl", **changes: object):
    model = {"architecture": architecture, **changes.pop("model", {})}
    return parse_config({"task": task, "run": "runs/x", "data": {"train": train}, "model": model, **changes})


def translation(config, sources=(6,) * 900 + (14,) * 100, targets=(9,) * 1000, languages=("zh", "en")):
    return recipe_of("translation").resolve(config, len(sources), languages, sources, targets)


@pytest.mark.parametrize("architecture", ["transformer", "lstm"])
@pytest.mark.parametrize("task", ["translation", "generation"])
def test_nothing_is_left_open(task: str, architecture: str, tmp_path: Path) -> None:
    languages = ("en", "en") if task == "translation" else "en"
    config = config_of(task, architecture)
    config = recipe_of(task).resolve(config, 1000, languages, [20] * 1000, [12] * 1000)
    training = config.training
    assert config.cleaning == [] and config.lengths and config.generate_lengths
    assert None not in (config.tokenizer.kind, config.tokenizer.vocabulary_size, config.model.dropout)
    assert None not in (training.epochs, training.batch_tokens, training.learning_rate, training.optimizer)
    assert None not in (training.schedule, training.warmup_steps, training.patience, training.label_smoothing)
    assert None not in (training.monitor, training.average_checkpoints, config.model.tie_embeddings)
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_before_there_is_a_tokenizer_only_what_it_needs_is_filled() -> None:
    config = recipe_of("translation").resolve(config_of("translation"), 28000, ("zh", "en"))
    assert (config.tokenizer.kind, config.tokenizer.vocabulary_size, config.tokenizer.shared) == (
        "sentencepiece", 8000, False
    )  # fmt: skip
    assert config.lengths is config.generate_lengths is config.training.epochs is config.model.hidden_dim is None


def test_translation() -> None:
    config = translation(config_of("translation"))
    assert config.lengths == [8, 16] and config.generate_lengths == [(8, 16), (16, 16)]
    assert (config.model.hidden_dim, config.model.encoder_layers, config.model.decoder_layers) == (256, 4, 4)
    assert (config.model.positions, config.model.num_heads, config.training.monitor) == ("sinusoidal", 4, "bleu")
    assert (config.training.schedule, config.training.label_smoothing) == ("inverse_sqrt", 0.1)


@pytest.mark.parametrize(("lora_rank", "rate", "dropout"), [(None, 5e-5, 0.1), (8, 5e-4, 0.0)])
def test_a_preset_of_translation_is_fine_tuned(lora_rank: int | None, rate: float, dropout: float) -> None:
    config = translation(config_of("translation", "preset", model={"path": "p", "lora_rank": lora_rank}))
    training = config.training
    assert (config.tokenizer.kind, config.tokenizer.shared, config.model.dropout) == ("preset", True, dropout)
    assert (training.epochs, training.learning_rate, training.schedule) == (10, rate, "linear")
    assert None not in (training.batch_tokens, training.optimizer, training.warmup_steps, training.patience)
    assert None not in (training.label_smoothing, training.average_checkpoints, training.weight_decay)


def test_one_vocabulary_where_both_sides_have_one_script() -> None:
    assert not translation(config_of("translation"), languages=("zh", "en")).tokenizer.shared
    assert translation(config_of("translation"), languages=("en", "de")).tokenizer.shared
    given = config_of("translation", tokenizer={"shared": True})
    assert translation(given, languages=("zh", "en")).tokenizer.shared
    assert translation(config_of("translation"), languages=("zh_Hans", "zho")).tokenizer.shared


def test_num_layers_stands_for_both_sides() -> None:
    config = translation(config_of("translation", model={"num_layers": 2, "encoder_layers": 6}))
    assert (config.model.encoder_layers, config.model.decoder_layers) == (6, 2)


def test_a_batch_size_that_is_given_counts_examples() -> None:
    config = translation(config_of("translation", training={"batch_size": 64}))
    assert (config.training.batch_size, config.training.batch_tokens) == (64, None)


def test_generation_of_documents_has_the_context_that_they_need() -> None:
    config = generation(config_of("generation"), 1000, "zh", [60] * 1000)
    assert config.lengths == [64] and config.generate_lengths == [(8, 56), (32, 32)]
    assert config.tokenizer.kind == "characters" and config.model.positions == "rope"


def test_generation_after_prompts_reads_what_they_need() -> None:
    config = generation(config_of("generation"), 100, "en", [60] * 100, [42] * 100)
    assert config.generate_lengths == [(24, 40)]


def test_running_text_is_written_a_stretch_at_a_time() -> None:
    config = generation(config_of("generation", train="a.txt"), 10_000, "en", [1_000_000])
    assert config.lengths == [256] and config.generate_lengths == [(8, 64), (32, 64), (128, 64)]
    assert config.tokenizer.kind == "bpe" and config.training.epochs == 20
    assert config.training.warmup_steps > 50  # counted in windows, not in files


def test_more_text_gets_a_wider_model_and_fewer_epochs() -> None:
    small, large = (generation(config_of("generation", train="a.txt"), 1, "en", [size]) for size in (10**6, 10**7))
    assert (small.model.hidden_dim, large.model.hidden_dim) == (256, 384)
    assert small.training.epochs > large.training.epochs


@pytest.mark.parametrize(
    ("path", "lora_rank", "rate", "dropout"),
    [("gpt2_base_en", None, 5e-5, 0.1), ("gpt2_base_en", 8, 5e-4, 0.0), ("llama3_8b_en", None, 5e-5, 0.0)],
)
def test_a_preset_that_writes_is_tuned_and_keeps_its_tokenizer(path, lora_rank, rate, dropout) -> None:
    config = config_of("generation", "preset", model={"path": path, "lora_rank": lora_rank}, train="a.txt")
    config = generation(config, 10_000, "zh", [1_000_000], max_tokens=64)
    assert (config.tokenizer.kind, config.tokenizer.vocabulary_size) == ("preset", None)
    assert config.lengths == [64] and config.generate_lengths[-1] == (32, 32)  # as much as the preset sees
    training = config.training
    assert (training.learning_rate, training.epochs, config.model.dropout) == (rate, 2, dropout)
    config = config_of("generation", "preset", model={"path": "p"})
    assert generation(config, 9, "zh", [300] * 9, max_tokens=1024).lengths == [256]


def test_what_is_given_must_fit_what_is_filled_in() -> None:
    with pytest.raises(ConfigError, match="hidden_dim 256 is not a multiple of model.num_heads 5"):
        translation(config_of("translation", model={"num_heads": 5}))


def test_heads_and_batches() -> None:
    assert [heads_for(hidden) for hidden in (64, 100, 256, 384)] == [1, 1, 4, 6]
    assert [batch_tokens_for(tokens) for tokens in (10, 150_000, 280_000, 10**7)] == [1024, 1024, 2048, 4096]


@pytest.mark.parametrize(
    ("language", "changes", "expected"),
    [
        ("en", {}, ("bpe", 2, [3, 5])),
        ("zh", {}, ("bpe", 2, [1, 3])),
        ("zh-CN", {}, ("bpe", 2, [1, 3])),
        ("zh", {"tokenizer": {"kind": "characters"}}, ("characters", 3, [])),
        ("en", {"model": {"vectors": "a.vec"}}, ("bpe", 2, [])),
        ("en", {"model": {"subwords": []}}, ("bpe", 2, [])),
    ],
)
def test_an_mlp_shares_subwords_where_tokens_have_several_letters(language, changes, expected) -> None:
    config = classification(config_of("classification", "mlp", **changes), 1000, language, [20] * 1000)
    assert (config.tokenizer.kind, config.model.ngrams, config.model.subwords) == expected


@pytest.mark.parametrize(
    ("length", "model", "expected"),
    [
        (31, {}, False), (32, {}, True), (32, {"hidden_dims": [8]}, False), (32, {"vectors": "a.vec"}, False),
        (8, {"naive_bayes": True}, True), (99, {"naive_bayes": False}, False),
    ],
)  # fmt: skip
def test_an_mlp_of_long_texts_begins_as_naive_bayes(length, model, expected) -> None:
    before = classification(config_of("classification", "mlp", model=model), 1000, "en")
    assert before.model.naive_bayes == model.get("naive_bayes")
    assert classification(before, 1000, "en", [length] * 600 + [5] * 400).model.naive_bayes is expected


@pytest.mark.parametrize("language", ["zh", "zh-CN", "zh_Hans", "ZH", "zho", "cmn", "ja_JP", "jpn", "th"])
def test_other_classifiers_read_characters_where_words_have_no_spaces(language: str) -> None:
    config = classification(config_of("classification", "cnn"), 1000, language, [20] * 1000)
    assert config.tokenizer.kind == "characters"


@pytest.mark.parametrize(("language", "kind"), [("zh_CN", "characters"), ("jpn", "characters"), ("th", "bpe")])
def test_language_models_read_characters_that_say_as_much_as_words(language: str, kind: str) -> None:
    assert generation(config_of("generation"), 1000, language, [60] * 1000).tokenizer.kind == kind


VECTORS = "3 5\ngood 1 2 3 4 5\nbad -1 -2 -3 -4 -5\nfilm 0 0 0 0 1\n"


def located(data_dir: Path, architecture: str, **model: object):
    return locate(config_of("classification", architecture, model=model), data_dir).model


def test_files_are_found_in_the_data_folder_else_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "here"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "a.vec").write_text(VECTORS, encoding="utf-8")
    (tmp_path / "here" / "a.vec").write_text("good 1 2\n", encoding="utf-8")
    inside = located(tmp_path / "data", "mlp", vectors="a.vec")
    assert (inside.vectors, inside.embedding_dim) == (str(tmp_path / "data" / "a.vec"), 5)
    outside = located(tmp_path / "data", "transformer", vectors="here/a.vec")
    assert (outside.vectors, outside.embedding_dim) == ("here/a.vec", 2)
    (tmp_path / "data" / "bert").mkdir()
    assert located(Path("data"), "preset", path="bert").path == "data/bert"
    assert located(Path("data"), "preset", path="bert_tiny").path == "bert_tiny"


def test_a_width_that_is_given_stays_and_a_missing_file_is_named(tmp_path: Path) -> None:
    assert located(tmp_path, "cnn", vectors="no.vec", embedding_dim=7).embedding_dim == 7
    with pytest.raises(DataError, match="no.vec"):
        located(tmp_path, "cnn", vectors="no.vec")
