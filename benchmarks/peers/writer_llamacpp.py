"""llama.cpp by xllamacpp: greedy, one prompt at a time, nothing kept of the prompt before, the end token not obeyed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import xllamacpp
from serve import serve
from writing import WritingJob

SPARE = 32  # tokens: a text may have more than the ids that it was made of


def load_single(job: WritingJob) -> tuple[Callable[[int], str], dict[str, Any]]:
    file = job.work.parent / f"{job.variant}.gguf"
    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.n_ctx = job.source + job.new + SPARE
    settings.n_parallel = 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = job.threads
    server = xllamacpp.Server(settings)
    rules = {"n_predict": job.new, "temperature": 0, "ignore_eos": True, "cache_prompt": False}

    def answer(index: int) -> str:
        prompt = job.texts[index] if job.mode == "text" else job.ids[index]
        found = server.handle_completions({"prompt": prompt, **rules})
        written = found["usage"]["completion_tokens"]
        if written != job.new:
            raise SystemExit(f"an answer has {written} tokens, expected {job.new}")
        return found["choices"][0]["text"]

    return answer, {"version": f"xllamacpp {version('xllamacpp')}", "size_bytes": file.stat().st_size}


if __name__ == "__main__":
    serve(load_single, WritingJob.parse)
