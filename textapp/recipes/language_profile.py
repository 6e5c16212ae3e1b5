"""The language of texts, configured and guessed from their script, and warnings if these differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from textapp.config.data import ParallelFiles
from textapp.languages import is_language, normalized, script_of
from textapp.records.profile import EXAMPLES, excerpt
from textapp.text.language import guess_language, script_weights

MAX_GUESSED = 2000  # texts whose script is determined one by one
NOTABLE_ELSEWHERE = 2.0  # percent of texts in another script that give a warning


def language_of(texts: Sequence[str], configured: str | None) -> dict[str, Any]:
    """The language of texts, the one guessed from their script, and the share of texts in another script.

    Args:
        texts: the texts.
        configured: language in the config; None: the guessed one.
    """
    guessed = guess_language(texts)
    elsewhere = []
    for text in texts[:MAX_GUESSED]:
        if any(script_weights([text]).values()) and script_of(guess_language([text])) != script_of(guessed):
            elsewhere.append(text)
    return {
        "language": configured or guessed,
        "told_from_script": guessed,
        "elsewhere_share": round(100 * len(elsewhere) / max(1, min(len(texts), MAX_GUESSED)), 2),
        "examples": [excerpt(text) for text in elsewhere[:EXAMPLES]],
    }


def language_of_files(files: Any, side: str, guessed: str) -> str:
    """The language that the names of parallel files end in, as in `train.de`; the guessed one if they do not.

    A script tells no German from English. The ending counts if it is a language of the script that was found.

    Args:
        files: `data.train` of a config.
        side: `source` or `target`.
        guessed: the language by the script of the texts.
    """
    if not isinstance(files, ParallelFiles):
        return guessed
    names = getattr(files, side)
    endings = {PurePath(name.removesuffix(".gz")).suffix[1:] for name in ([names] if isinstance(names, str) else names)}
    ending = endings.pop() if len(endings) == 1 else ""
    named = len(ending) == 2 and is_language(ending) and script_of(ending) == script_of(guessed)
    return normalized(ending) if named else guessed


def script_warnings(languages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Warnings about texts whose script is not that of their language; `languages` by side."""
    wrong = {
        side: found for side, found in languages.items()
        if script_of(found["language"]) != script_of(found["told_from_script"])
    }  # fmt: skip
    lines = [
        f"the {side} is configured as {found['language']}, but its script looks like {found['told_from_script']}"
        for side, found in wrong.items()
    ]
    if len(wrong) == 2:
        lines.append("both sides are in another script than configured: are source and target swapped?")
    for side, found in languages.items():
        if found["elsewhere_share"] >= NOTABLE_ELSEWHERE:
            share, example = found["elsewhere_share"], found["examples"][0][:40]
            lines.append(f"{share:g} % of the {side}s are in another script, such as '{example}'")
    return lines


def unknown_words(share: Mapping[str, Any]) -> str | None:
    """A description of the characters that a vocabulary lacks; None if there are none."""
    if not share["different"]:
        return None
    return f"{share['share']} % of characters, {share['different']} different: {' '.join(share['examples'])}"
