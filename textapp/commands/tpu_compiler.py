"""Compiles one HLO module for a TPU that is not there. A script: `python tpu_compiler.py TOPOLOGY FILE`.

It runs by its path in the environment of `tpu_environment`, which has jax and libtpu but neither textapp nor
TensorFlow, so it imports nothing of this package. Its last line on stdout is JSON: the bytes and the seconds of
`compiled`, or `{"error": ...}` if the compiler refused the module. The calls below are private to jax; their versions
are pinned.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

_COPY = re.compile(r"mhlo\.copy (%\S+) : (tensor<.*>)(?= loc\(|$)", re.MULTILINE)


def without_copies(module: str) -> str:
    """A module in which copies are reshapes to the same shape: `mhlo` is unknown to jax, and StableHLO has no copy.

    Example: `%1 = mhlo.copy %0 : tensor<2xf32>` becomes `%1 = stablehlo.reshape %0 : (tensor<2xf32>) -> tensor<2xf32>`.
    """
    return _COPY.sub(r"stablehlo.reshape \1 : (\2) -> \2", module)


def compiled(hlo: bytes, topology: str) -> dict[str, Any]:
    """Compiles a serialized HLO module for one core.

    Args:
        hlo: the module.
        topology: of jax, such as `v5e:2x2`.

    Returns:
        `argument_bytes`, `output_bytes`, `alias_bytes` (outputs that take the place of arguments), `temporary_bytes`
        and `code_bytes` of the core, and `seconds` of the compilation; or `error`, what the compiler said.
    """
    from jax._src import compiler
    from jax._src.interpreters import mlir
    from jax.experimental import topologies
    from jaxlib import _jax, xla_client
    from jaxlib.mlir import ir

    device = topologies.get_topology_desc(topology, platform="tpu").devices[0]
    text = _jax.mlir.xla_computation_to_mlir_module(xla_client.XlaComputation(hlo))
    options = compiler.get_compile_options(num_replicas=1, num_partitions=1)
    started = time.perf_counter()
    with mlir.make_ir_context():
        try:
            module = ir.Module.parse(without_copies(text))
            program = device.client.compile(module, _jax.DeviceList((device,)), options)
        except (_jax.JaxRuntimeError, ir.MLIRError) as error:
            return {"error": str(error)}
        found = program.get_compiled_memory_stats()
    return {
        "argument_bytes": found.argument_size_in_bytes,
        "output_bytes": found.output_size_in_bytes,
        "alias_bytes": found.alias_size_in_bytes,
        "temporary_bytes": found.temp_size_in_bytes,
        "code_bytes": found.generated_code_size_in_bytes,
        "seconds": round(time.perf_counter() - started, 1),
    }


if __name__ == "__main__":
    print(json.dumps(compiled(Path(sys.argv[2]).read_bytes(), sys.argv[1])))
