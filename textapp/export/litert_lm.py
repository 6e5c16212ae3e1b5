"""Packs a language model as a .litertlm file, and verifies it in LiteRT-LM's own runtime.

The check of every export compares the tokens and log-probabilities of the file's signatures, run by LiteRT, with those
of the Keras model. Then LiteRT-LM itself has to read the same prompts, or conversations, as the same tokens, and to
write the same texts. Its scores of given texts are not used: up to version 0.18.1 it reads them from a wrong position
(its issue 3561).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.arrays import spread
from textapp.artifact import SENTENCEPIECE_FILE, TOKENIZERS_FILE
from textapp.decoding.signatures import lengths_of
from textapp.errors import DataError, ExportError, UsageError, plural, require
from textapp.export.children import run_child
from textapp.objectives.checks.generative import NEAR_TIE, NEAR_TIE_QUANTIZED, rows_verified
from textapp.predictors.chat import prompt_ids
from textapp.records.messages import USER, asked
from textapp.runners.inputs import save_inputs

if TYPE_CHECKING:
    from textapp.objectives.checks.check import Verdict
    from textapp.objectives.checks.generative import GenerativeCheck
    from textapp.tasks.generative import GenerativeTask
    from textapp.tasks.task import Record

TOP_P = 2  # kind of sampler; with k = 1 it is greedy, and GREEDY itself is not implemented in LiteRT-LM 0.18
COMPARED = 100  # prompts that LiteRT-LM continues; of a large model fewer, see `rows_verified`
SHOWN = 80
# LiteRT-LM gives a template contents as lists of parts, and no special tokens; published ones expect texts, and names
# for the tokens. The last expression keeps the template's first line break.
PRELUDE = """{%- set texts = namespace(messages=[]) -%}
{%- for message in messages -%}
{%- set content = message.content if message.content is string else message.content | map(attribute='text') | join -%}
{%- set texts.messages = texts.messages + [{'role': message.role, 'content': content}] -%}
{%- endfor -%}
{%- set messages = texts.messages -%}
"""


def pack(model_path: Path, tokenizer: Path, task: GenerativeTask, file: Path) -> None:
    """Writes a .litertlm file.

    Args:
        model_path: a .tflite file with the signatures of `textapp.objectives.litert_lm`.
        tokenizer: the folder of the run's tokenizer.
        task: of the run.
        file: to write.
    """
    builder = require("litert_lm_builder.litertlm_builder", "litert-lm")
    described = file.with_suffix(".metadata")
    described.write_bytes(_metadata(task).SerializeToString())
    packed = builder.LitertLmFileBuilder()
    # Without an attention mask among the inputs, only LiteRT-LM's CPU backend runs it.
    packed.add_tflite_model(str(model_path), builder.TfLiteModelType.PREFILL_DECODE, backend_constraint="cpu")
    if (tokenizer / SENTENCEPIECE_FILE).is_file():
        packed.add_sentencepiece_tokenizer(str(tokenizer / SENTENCEPIECE_FILE))
    else:
        packed.add_hf_tokenizer(str(tokenizer / TOKENIZERS_FILE))
    packed.add_llm_metadata(str(described), supports_thinking=False, supports_function_calling=False)
    with file.open("wb") as opened:
        packed.build(opened, validate_metadata=True)


def _metadata(task: GenerativeTask) -> Any:
    """What LiteRT-LM has to know of a model besides its graphs and its tokenizer."""
    protos = require("litert_lm_builder.runtime.proto.llm_metadata_pb2", "litert-lm")
    tokenizer, found = task.tokenizer, protos.LlmMetadata(max_num_tokens=task.lengths[-1])
    if _start(task):
        found.start_token.token_ids.ids.extend(_start(task))
    for end_id in task.end_ids:
        found.stop_tokens.add().token_ids.ids.append(end_id)
    found.suppress_tokens.ids.extend(tokenizer.never_ids)
    sampler = found.sampler_params
    sampler.type, sampler.k, sampler.p, sampler.temperature = TOP_P, 1, 1.0, 1.0
    found.llm_model_type.generic_model.SetInParent()
    if tokenizer.chat_template is not None:
        tokens = "".join(
            f"{{%- set {name} = {json.dumps(text)} -%}}\n"
            for name, text in tokenizer.chat_template.tokens.items()
            if not (name == "bos_token" and _start(task))
        )
        found.jinja_prompt_template = f"{PRELUDE}{tokens}{{{{ '' }}}}{tokenizer.chat_template.source}"
    return found


def _start(task: GenerativeTask) -> list[int]:
    """The start token that LiteRT-LM puts before whatever it reads.

    Of a model that chats, what stands before a conversation is told by its template. A tokenizer.json reads the start
    token there as one token; a SentencePiece model does not, so that LiteRT-LM has to put it.
    """
    if task.running_text:
        return []
    tokenizer = task.tokenizer
    if tokenizer.chat_template is None:
        return [task.start_id]
    ids = prompt_ids(tokenizer, tokenizer.chat_template, [{"role": USER, "content": "a"}])
    return ids[:1] if ids[0] == task.start_id and hasattr(tokenizer, "model") else []


def check_prompts(task: GenerativeTask, records: Sequence[Record]) -> None:
    """Checks that there is something to try LiteRT-LM with, before minutes of work.

    Args:
        task: of the run.
        records: that the export is verified on.

    Raises:
        ExportError: there is not.
    """
    if not prompts_of(task, records, 1):
        raise ExportError(
            f"found no prompt of at most {task.max_tokens} tokens among {plural(len(records), 'example')}, expected "
            "some to try LiteRT-LM with: give the run a pair of generate_lengths that reads more, or shorter "
            "validation texts"
        )


def verify(
    file: Path, model_path: Path, task: GenerativeTask, check: GenerativeCheck, quantize: str, threads: int
) -> Verdict:
    """Verifies a .litertlm file.

    Args:
        file: it.
        model_path: the .tflite file in it; scratch files are written beside it.
        task: of the run.
        check: that it has to pass.
        quantize: its number format.
        threads: of the interpreters.

    Raises:
        ExportError: it differs too much from the Keras model, or LiteRT-LM does.
    """
    assert check.forced is not None
    prompts = prompts_of(task, check.examples.records, rows_verified(check.share, COMPARED))
    paths = {name: model_path.with_suffix(f".{name}.npz") for name in ("inputs", "outputs", "forced")}
    save_inputs(paths["inputs"], check.inputs)
    save_inputs(paths["forced"], check.forced)
    tokens = {"end_ids": task.end_ids, "pad_id": task.tokenizer.pad_id, "never_ids": task.tokenizer.never_ids}
    job = {"model": str(model_path), "threads": threads, **tokens, **{name: str(path) for name, path in paths.items()}}
    runtime, written = continued(file, prompts, model_path.parent, job)
    with np.load(paths["outputs"]) as arrays:
        verdict = check.judge(dict(arrays), runtime, quantize)
    limit = NEAR_TIE if quantize == "none" else NEAR_TIE_QUANTIZED
    equal = [_compared(task, *pair, limit) for pair in zip(prompts, written, strict=True)]
    verdict.report["litert_lm_texts"], verdict.report["litert_lm_equal"] = len(equal), sum(equal)
    return verdict


def golden(
    file: Path, task: GenerativeTask, records: Sequence[Record], max_count: int, scratch: Path
) -> list[dict[str, Any]]:
    """The test cases of golden.json: prompts or messages with their tokens, and what LiteRT-LM writes.

    Args:
        file: a .litertlm file.
        task: of the run.
        records: with prompts; those that textapp would truncate are left out.
        max_count: maximum number of test cases.
        scratch: a folder for scratch files.
    """
    prompts = prompts_of(task, records, max_count)
    if not prompts:
        return []
    _, written = continued(file, prompts, scratch)
    return [{**prompt, "output": found["text"]} for prompt, found in zip(prompts, written, strict=True)]


def check_golden(task: GenerativeTask, texts: Sequence[str]) -> None:
    """Checks that the texts that a user chose for golden.json can be prompts.

    Raises:
        UsageError: one cannot.
    """
    for text in texts:
        if _prompt(task, task.record(text)) is None:
            raise UsageError(
                f"--golden: found {text[:SHOWN]!r}, expected a prompt of at most {task.max_tokens} tokens, which "
                "LiteRT-LM does not truncate as textapp does: shorten it"
            )


def prompts_of(task: GenerativeTask, records: Sequence[Record], max_count: int) -> list[dict[str, Any]]:
    """Records as LiteRT-LM takes them: conversations if the model has a chat template, else texts.

    Args:
        task: of the run.
        records: with prompts or messages; those that textapp would truncate are left out.
        max_count: maximum number of prompts.

    Returns:
        `input`, a text, or messages; its `token_ids` with the start token; and `max_output_tokens`.
    """
    found = (_prompt(task, record) for record in records)
    return spread([prompt for prompt in found if prompt is not None], max_count)


def _prompt(task: GenerativeTask, record: Record) -> dict[str, Any] | None:
    template = task.tokenizer.chat_template
    if template is None:
        asked_for: Any = record.get("prompt")
        ids = task.joined(task.tokenizer.ids(asked_for)) if asked_for else []
    else:
        one = [{"role": USER, "content": record.get("prompt") or "?"}]
        asked_for = asked(record["messages"]) if "messages" in record else one
        try:
            ids = prompt_ids(task.tokenizer, template, asked_for)
        except DataError:  # the template refuses it
            return None
    if not 1 < len(ids) <= task.max_tokens:
        return None
    return {"input": asked_for, "token_ids": ids, "max_output_tokens": lengths_of(task.signature(len(ids))[0])[1]}


def continued(
    file: Path, prompts: Sequence[Mapping[str, Any]], scratch: Path, job: Mapping[str, Any] | None = None
) -> tuple[str, list[dict[str, Any]]]:
    """Continues prompts greedily in LiteRT-LM, in a process of its own.

    Args:
        file: a .litertlm file.
        prompts: from `prompts_of`.
        scratch: a folder for scratch files.
        job: what the process does besides, see `textapp.export.litert_lm_answers`.

    Returns:
        The runtime with its version, and for each prompt the `token_ids` that it read, without a start token that it
        puts by itself, and the `text` that it wrote; with a `job` also `steps` and `margins`.

    Raises:
        ExportError: LiteRT-LM does not open the file, or fails.
    """
    given = scratch / "prompts.json"
    given.write_text(json.dumps(list(prompts)), encoding="utf-8")
    whole = {"threads": 1, **(job or {}), "file": str(file), "prompts": str(given)}
    run_child("textapp.export.litert_lm_answers", whole, "running the export in LiteRT-LM")
    written = json.loads(given.read_text(encoding="utf-8"))
    return f"litert-lm-api {metadata.version('litert-lm-api')}", written


def _compared(task: GenerativeTask, prompt: Mapping[str, Any], found: Mapping[str, Any], limit: float) -> bool:
    """Compares what LiteRT-LM read and wrote with what it should; a text may differ from a near tie on.

    Args:
        task: of the run.
        prompt: from `prompts_of`.
        found: what LiteRT-LM made of it, and the tokens that the file's signatures write in LiteRT, with their margins.
        limit: margin of a near tie.

    Raises:
        ExportError: the tokens of the prompt differ, or the text without such a tie.
    """
    shown = str(prompt["input"])[:SHOWN]
    read = [*_start(task), *found["token_ids"]]
    if read != prompt["token_ids"]:
        raise ExportError(
            f"LiteRT-LM reads {shown!r} as the tokens {_few(read)}, expected {_few(prompt['token_ids'])}: its "
            "tokenizer or its chat templates do not serve this model: take --target litert"
        )
    expected, ids = task.decode(found["steps"]), found["steps"]
    if found["text"] == expected:
        return True
    same = len(os.path.commonprefix([found["text"], expected]))
    before = next((step for step in range(len(ids)) if len(task.decode(ids[: step + 1])) > same), len(ids) - 1)
    if min(found["margins"][: before + 1]) > limit:
        raise ExportError(
            f"LiteRT-LM continues {shown!r} with {found['text'][:SHOWN]!r}, expected {expected[:SHOWN]!r}, as the "
            "file's signatures do in LiteRT"
        )
    return False


def _few(ids: Sequence[int]) -> str:
    return f"{' '.join(map(str, ids[:12]))}{' ..' if len(ids) > 12 else ''}"
