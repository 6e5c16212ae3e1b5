"""A process that opens bundles and asks them, so that what ends it, hangs or takes all memory is seen from outside."""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TEXTS = ("good", "", "red house 酒店 \U000f1234", "word " * 200)
MOST_SECONDS, MOST_MB = 10, 1000


class Asker:
    """The process; a new one takes the place of one that died.

    Example: `Asker()(bundle)` is `answer`, or the message of an error of ours.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, folder: Path, **options: Any) -> str:
        """Opens a bundle, or the tokenizer in a folder without a manifest, and answers some texts.

        Raises:
            AssertionError: it ended with anything but an answer or an error of ours in one line, took more than 10
                seconds or 1 GB, or the process died.
        """
        if self._process is None:
            path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            self._process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True, env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
            self._take(60)  # the imports
        try:
            self._process.stdin.write(json.dumps({"folder": str(folder), "options": options}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # `_take` tells how it died
            pass
        reply = self._take(MOST_SECONDS)
        assert reply["megabytes"] < MOST_MB, reply
        assert "fault" not in reply, reply["fault"]
        return reply["found"]

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    def _take(self, seconds: int) -> dict[str, Any]:
        ready = select.select([self._process.stdout], [], [], seconds)[0]
        line = self._process.stdout.readline() if ready else ""
        if not line:
            code = self._process.wait(5) if ready else None
            self.close()
            raise AssertionError(f"the process died ({code})" if ready else f"no answer after {seconds} s")
        return json.loads(line)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _ask(folder: Path, options: dict[str, Any]) -> dict[str, str]:
    import textapp
    from textapp.errors import TextappError
    from textapp.text.tokenizer import load_tokenizer

    try:
        if (folder / "manifest.json").exists():
            answers = textapp.load(folder, **options).batch(list(TEXTS))
            assert [answer.input for answer in answers] == list(TEXTS)
            return {"found": "answer"}
        tokenizer = load_tokenizer(folder)
        for text in TEXTS:
            ids = tokenizer.ids(text)
            assert all(0 <= token < tokenizer.vocabulary_size for token in ids)
            assert tokenizer.encode(text).ids == ids
            assert isinstance(tokenizer.decode(ids), str)
        return {"found": "answer"}
    except TextappError as error:
        message = str(error)
        if "\n" in message or not message.strip() or len(message) > 1500 + 4 * len(str(folder)):
            return {"fault": f"not one short line: {message!r}"}
        return {"found": message}
    except BaseException:
        return {"fault": traceback.format_exc()}


def main() -> None:
    import textapp  # noqa: F401

    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        reply: dict[str, Any] = _ask(Path(request["folder"]), request["options"])
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        reply["megabytes"] = max(used, children) >> 10
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
