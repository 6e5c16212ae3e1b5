"""Two turns of a chat with a bundle of textapp, each timed from the message to the first piece of its answer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve import serve
from textapp_litert import runtime_version

FOLLOW_UP = "Which word of it is the most important one?"
NEW_TOKENS = 16  # of each answer


@dataclass(frozen=True)
class ChatJob:
    """A bundle, and the messages that conversations begin with, from `chats.json` of the work folder."""

    bundle: Path
    threads: int
    messages: list[str]

    @classmethod
    def parse(cls, text: str) -> ChatJob:
        raw = json.loads(text)
        messages = json.loads((Path(raw["work"]) / "chats.json").read_text(encoding="utf-8"))
        return cls(Path(raw["bundle"]), raw["threads"], messages)


def load_chat(job: ChatJob) -> tuple[Callable[[int], list[float]], dict[str, Any]]:
    import textapp

    predictor = textapp.load(job.bundle, threads=job.threads)

    def turn(messages: list[dict[str, str]]) -> tuple[float, str]:
        begin = time.perf_counter()
        pieces = predictor.stream_chat(messages, max_new_tokens=NEW_TOKENS)
        first = next(pieces)
        return 1000 * (time.perf_counter() - begin), first + "".join(pieces)

    def answer(index: int) -> list[float]:
        messages = [{"role": "user", "content": job.messages[index]}]
        first_ms, text = turn(messages)
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": FOLLOW_UP}]
        return [first_ms, turn(messages)[0]]

    return answer, {"version": runtime_version()}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve(load_chat, ChatJob.parse)
