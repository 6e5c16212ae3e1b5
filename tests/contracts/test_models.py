"""Every architecture keeps the same contract: the table of architecture and role, and what an encoder promises."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.catalog import parse_config
from textapp.config import architectures
from textapp.errors import ConfigError
from textapp.models import build_encoder, build_reader, serving
from textapp.objectives.classifier import build_model, probabilities

VOCABULARY, PAD, LABELS = 40, 0, 3
MODELS = {
    "mlp": {"architecture": "mlp", "embedding_dim": 6, "hidden_dims": [5], "ngrams": 3, "dropout": 0.1},
    "mlp_norm": {
        "architecture": "mlp", "embedding_dim": 6, "hidden_dims": [5], "ngrams": 1, "dropout": 0.1,
        "batch_normalization": True,
    },
    "cnn": {"architecture": "cnn", "embedding_dim": 6, "filters": 5, "kernel_sizes": [2, 3, 4], "dropout": 0.1},
    "lstm": {
        "architecture": "lstm", "embedding_dim": 6, "units": [5, 4], "bidirectional": False, "dense_units": 4,
        "dropout": 0.1,
    },
    "lstm_bidirectional": {
        "architecture": "lstm", "embedding_dim": 6, "units": [5, 4], "bidirectional": True, "dense_units": 0,
        "dropout": 0.1,
    },
    "transformer": {
        "architecture": "transformer", "embedding_dim": 6, "hidden_dim": 16, "num_layers": 2, "num_heads": 4,
        "positions": "learned", "dropout": 0.1,
    },
    "transformer_rope": {
        "architecture": "transformer", "hidden_dim": 16, "num_layers": 1, "num_heads": 4, "num_key_value_heads": 2,
        "positions": "rope", "activation": "swiglu", "dropout": 0.1,
    },
    "transformer_sinusoidal": {
        "architecture": "transformer", "hidden_dim": 16, "num_layers": 1, "num_heads": 2, "positions": "sinusoidal",
        "activation": "relu", "dropout": 0.1,
    },
    "preset": {"architecture": "preset", "path": "bert", "dropout": 0.1},
    "preset_of_another_family": {"architecture": "preset", "path": "distil_bert", "dropout": 0.1},
}  # fmt: skip
ROLE_TABLE = [
    ("mlp", {"encoder"}),
    ("cnn", {"encoder"}),
    ("lstm", {"encoder", "reader", "decoder", "encoder-decoder"}),
    ("transformer", {"encoder", "reader", "decoder", "encoder-decoder"}),
    ("preset", {"encoder", "reader", "decoder", "encoder-decoder"}),
]


@pytest.fixture(scope="module", autouse=True)
def presets(tmp_path_factory):
    """Tiny presets in KerasHub layout, one that is rebuilt on our layers and one that is not."""
    import keras_hub

    sizes = {
        "vocabulary_size": VOCABULARY, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 12,
        "max_sequence_length": 32,
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("presets")
    keras_hub.models.BertBackbone(**sizes).save_to_preset(folder / "bert")
    keras_hub.models.DistilBertBackbone(**sizes).save_to_preset(folder / "distil_bert")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def config_of(name):
    raw = {"task": "classification", "run": "r", "data": {"train": "t"}, "lengths": [8, 32], "model": MODELS[name]}
    return parse_config(raw)


def build(name):
    keras.utils.set_random_seed(3)
    model = build_model(config_of(name), VOCABULARY, PAD, LABELS)
    generator = np.random.default_rng(3)
    # Larger than at the start of a training, so that a wrong mask shows.
    values = [generator.normal(scale=0.5, size=weight.shape) for weight in model.weights]
    model.set_weights(
        [np.abs(value) if "variance" in w.path else value for w, value in zip(model.weights, values, strict=True)]
    )
    return model


@pytest.fixture(scope="module")
def models():
    return {name: build(name) for name in MODELS}


def batch_of(length, texts=((5, 7, 9), (11,), (3, 4, 5, 6, 39, 8, 2))):
    return np.array([[*ids, *[PAD] * (length - len(ids))] for ids in texts], np.int32)


def answers(model, token_ids):
    return model({"token_ids": tf.constant(token_ids)}, training=False).numpy()


@pytest.mark.parametrize(("architecture", "served"), ROLE_TABLE)
def test_role_table(architecture, served):
    for role in ("encoder", "reader", "decoder", "encoder-decoder"):
        if role in served:
            assert serving(architecture, role).__name__ == f"textapp.models.{architecture}"
        else:
            with pytest.raises(ConfigError, match=f"found {architecture}.*role {role}"):
                serving(architecture, role)


def test_role_table_is_whole():
    assert {name: set(part.roles) for name, part in architectures().items()} == dict(ROLE_TABLE)
    assert {name for name, _ in ROLE_TABLE} == set(architectures())


@pytest.mark.parametrize("name", MODELS)
def test_encoder_gives_a_sequence(name):
    encoder = build_encoder(config_of(name).model, VOCABULARY, PAD, 32)
    assert encoder({"token_ids": tf.constant(batch_of(8))}).shape[:2] == (3, 8)


def test_segments_are_for_presets():
    with pytest.raises(ConfigError, match="mlp takes no segment ids"):
        build_encoder(config_of("mlp").model, VOCABULARY, PAD, 32, segments=True)


@pytest.mark.parametrize("name", MODELS)
def test_batched_is_unbatched(models, name):
    batch = batch_of(8)
    alone = np.concatenate([answers(models[name], batch[row : row + 1]) for row in range(len(batch))])
    np.testing.assert_allclose(answers(models[name], batch), alone, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing(models, name):
    np.testing.assert_allclose(answers(models[name], batch_of(8)), answers(models[name], batch_of(32)), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_token_counts(models, name):
    """The answers differ when the last token does, so that the tests above compare something."""
    others = batch_of(8, ((5, 7, 1), (12,), (3, 4, 5, 6, 39, 8, 1)))
    one, other = answers(models[name], batch_of(8)), answers(models[name], others)
    assert np.abs(one - other).max(axis=-1).min() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_a_row_of_padding_is_finite(models, name):
    assert np.isfinite(answers(models[name], np.full((2, 8), PAD, np.int32))).all()


@pytest.mark.parametrize("name", MODELS)
def test_saved_is_loaded(models, name, tmp_path):
    models[name].save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(answers(loaded, batch_of(8)), answers(models[name], batch_of(8)))


@pytest.mark.parametrize("name", MODELS)
def test_mixed_bfloat16(models, name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        low = build_model(config_of(name), VOCABULARY, PAD, LABELS)
    finally:
        keras.config.set_dtype_policy("float32")
    low.set_weights(models[name].get_weights())
    logits = low({"token_ids": tf.constant(batch_of(8))}, training=False)
    assert logits.dtype == tf.float32
    np.testing.assert_allclose(logits, answers(models[name], batch_of(8)), atol=0.15, rtol=0.1)
    twin = build_model(config_of(name), VOCABULARY, PAD, LABELS)
    twin.set_weights(low.get_weights())
    np.testing.assert_array_equal(answers(twin, batch_of(8)), answers(models[name], batch_of(8)))


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_weight(name):
    model = build_model(config_of(name), VOCABULARY, PAD, LABELS)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model({"token_ids": tf.constant(batch_of(8))}, training=True) ** 2)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    assert all(gradient is not None for gradient in gradients)


def answering(model):
    return lambda token_ids: {"probabilities": probabilities(model({"token_ids": token_ids}), False)}


@pytest.fixture(scope="module")
def lite_models(models, tmp_path_factory):
    """Every model as a .tflite of builtins alone, with the signatures of lengths 8 and 16."""
    files = {}
    for name, model in models.items():
        folder = tmp_path_factory.mktemp(name)
        archive = keras.export.ExportArchive()
        archive.track(model)
        for length in (8, 16):
            archive.add_endpoint(
                f"classify_{length}",
                answering(model),
                input_signature=[tf.TensorSpec((1, length), tf.int32, name="token_ids")],
            )
        archive.write_out(str(folder), verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["classify_8", "classify_16"])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        files[name] = converter.convert()
    return files


@pytest.mark.parametrize("name", MODELS)
def test_converts_to_builtins(models, lite_models, name):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=lite_models[name])
    for length in (8, 16):
        runner = interpreter.get_signature_runner(f"classify_{length}")
        for row in batch_of(length):
            expected = probabilities(answers(models[name], row[None]), False)
            np.testing.assert_allclose(runner(token_ids=row[None])["probabilities"], expected, atol=1e-4)


# --- readers ---------------------------------------------------------------------------------------------------------

READERS = [name for name, model in MODELS.items() if "reader" in dict(ROLE_TABLE)[model["architecture"]]]
SEGMENTS = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], np.int32)  # of tokens 0 to 3 of `batch_of`


def reader_of(name):
    raw = {"task": "question_answering", "run": "r", "data": {"train": "t"}, "model": dict(MODELS[name])}
    raw["model"].pop("dense_units", None)
    keras.utils.set_random_seed(3)
    model = build_reader(parse_config(raw).model, VOCABULARY, PAD, 32)
    generator = np.random.default_rng(3)
    model.set_weights([generator.normal(scale=0.5, size=weight.shape) for weight in model.weights])
    return model


@pytest.fixture(scope="module")
def readers():
    return {name: reader_of(name) for name in READERS}


def sequence_of(reader, token_ids):
    segments = np.zeros_like(token_ids)
    segments[:, :4] = SEGMENTS[: len(token_ids)]
    segments[2:, 3:7] = 1
    features = {"token_ids": tf.constant(token_ids), "segment_ids": tf.constant(segments)}
    return reader(features, training=False).numpy() * (token_ids != PAD)[:, :, None]


@pytest.mark.parametrize("name", READERS)
def test_a_reader_gives_a_vector_for_each_token_whatever_the_padding(readers, name):
    short, long = (sequence_of(readers[name], batch_of(length)) for length in (8, 32))
    assert short.shape[:2] == (3, 8) and np.abs(short).max() > 1e-3
    np.testing.assert_allclose(long[:, :8], short, atol=1e-4)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_rows_alone_as_in_a_batch(readers, name):
    batch = batch_of(8)
    together = sequence_of(readers[name], batch)
    np.testing.assert_allclose(sequence_of(readers[name], batch[:1]), together[:1], atol=1e-4)


@pytest.mark.parametrize("name", READERS)
def test_the_question_changes_what_is_read_of_the_context(readers, name):
    batch = batch_of(8)
    other = batch.copy()
    other[2, 0] = 1
    change = np.abs(sequence_of(readers[name], other) - sequence_of(readers[name], batch))
    assert change[2, 3:7].max() > 1e-4
    np.testing.assert_array_equal(change[:2], 0)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_that_is_saved_is_loaded(readers, name, tmp_path):
    readers[name].save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(sequence_of(loaded, batch_of(8)), sequence_of(readers[name], batch_of(8)))
