"""A GGUF file again in Q8_0, Q4_0 or F32: the same weights for llama.cpp and OpenVINO as for textapp.

Runs in the peers' environment: `python benchmarks/peers/build_gguf.py SOURCE.gguf WORK KIND..`; prints one JSON object.
All matrices are quantized, the table of tokens too, so a peer reads as few bytes a step as the format allows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np

KINDS = {
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
    "F32": gguf.LlamaFileType.ALL_F32,
}
LEFT_OUT = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version")  # the writer's own


def main(source: Path, work: Path, kinds: list[str]) -> dict[str, Any]:
    reader = gguf.GGUFReader(source)
    tensors = {each.name: gguf.dequantize(each.data, each.tensor_type) for each in reader.tensors}
    for name in kinds:
        write(reader, tensors, work / f"{name}.gguf", name)
    return {"gguf of": source.name, "parameters": sum(values.size for values in tensors.values())}


def write(reader: gguf.GGUFReader, tensors: dict[str, np.ndarray], path: Path, name: str) -> None:
    """Writes the same keys and tensors, matrices in the quantization of this name, vectors in float32."""
    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    writer.add_file_type(KINDS[name])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for field in reader.fields.values():
        if not field.name.startswith(LEFT_OUT):
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    kind = gguf.GGMLQuantizationType[name]
    for tensor, values in tensors.items():
        if values.ndim == 1:
            writer.add_tensor(tensor, values.astype(np.float32))
        else:
            writer.add_tensor(tensor, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])))
