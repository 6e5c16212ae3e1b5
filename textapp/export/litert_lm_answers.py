"""Runs a file for LiteRT-LM without TensorFlow, as a process: `python -m textapp.export.litert_lm_answers JOB`.

The signatures of its .tflite file run in LiteRT, the whole file in LiteRT-LM.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textapp.decoding.forced import GENERATED, force_all
from textapp.decoding.litert_lm import StepRunner
from textapp.errors import TextappError
from textapp.export.answers import answers
from textapp.runners.edge import EdgeRunner
from textapp.runners.inputs import load_inputs


def _outputs(runner: StepRunner, job: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What `textapp.export.answers` gives for other files."""
    forced = load_inputs(job["forced"])
    outputs = answers(runner, load_inputs(job["inputs"])) | force_all(runner, forced)
    # Here `generate_*` is made of the steps, so no token of it is below the best one of its step.
    own = {group.split(".")[0]: np.zeros(named[GENERATED].shape, np.float32) for group, named in forced.items()}
    return outputs | {f"{signature}.own/gap": gap for signature, gap in own.items()}


def _texts(job: Mapping[str, Any], prompts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`token_ids` of each prompt and the `text` of its greedy continuation, in LiteRT-LM."""
    import litert_lm

    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    greedy = litert_lm.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0)
    backend = litert_lm.Backend.CPU(thread_count=job["threads"])
    written = []
    with litert_lm.Engine(job["file"], backend=backend, cache_dir=":nocache") as engine:
        for prompt in prompts:
            given = prompt["input"]
            options = {"sampler_config": greedy, "max_output_tokens": prompt["max_output_tokens"]}
            if isinstance(given, str):
                with engine.create_session(apply_prompt_template=False, **options) as session:
                    session.run_prefill([given])
                    read, text = given, session.run_decode().texts[0]
            else:
                with engine.create_conversation(messages=given[:-1], **options) as conversation:
                    read = conversation.render_message_to_string(given[-1])
                    content = conversation.send_message(given[-1])["content"]
                    text = "".join(part["text"] for part in content)
            written.append({"token_ids": engine.tokenize(read), "text": text})
    return written


def main(arguments: Sequence[str]) -> None:
    """Runs a job, replaces its prompts by what became of them and prints `{}`, or `{"error": message}`."""
    job = json.loads(arguments[0])
    try:
        file = Path(job["prompts"])
        prompts = json.loads(file.read_text(encoding="utf-8"))
        written = _texts(job, prompts)
        if "model" in job:
            edge = EdgeRunner(job["model"], job["threads"], runtime="litert")
            runner = StepRunner(edge, job["end_ids"], job["pad_id"], job["never_ids"])
            np.savez(job["outputs"], **_outputs(runner, job))
            for found, prompt in zip(written, prompts, strict=True):
                steps = runner.generate(prompt["token_ids"], prompt["max_output_tokens"])
                found["steps"], found["margins"] = [step.token_id for step in steps], [step.margin for step in steps]
        file.write_text(json.dumps(written), encoding="utf-8")
        print("{}")
    except (TextappError, OSError, RuntimeError) as error:  # LiteRT-LM raises RuntimeErrors
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main(sys.argv[1:])
