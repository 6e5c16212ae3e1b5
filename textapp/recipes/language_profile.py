"""The language of texts, as it is configured and as their script tells, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textapp.languages import script_of
from textapp.records.profile import EXAMPLES, excerpt
from textapp.text.language import guess_language, script_weights

MAX_GUESSED = 2000  # texts whose script is looked at one by one
NOTABLE_ELSEWHERE = 2.0  # percent of texts in another script


def language_of(texts: Sequence[str], configured: str | None) -> dict[str, Any]:
    """The language of texts, what their script tells, and how many of the first texts are in another script.

    Args:
        texts: the texts.
        configured: the language that the config names; None: the one that the script tells.
    """
    told = guess_language(texts)
    elsewhere = []
    for text in texts[:MAX_GUESSED]:
        if any(script_weights([text]).values()) and script_of(guess_language([text])) != script_of(told):
            elsewhere.append(text)
    return {
        "language": configured or told,
        "told_from_script": told,
        "elsewhere_share": round(100 * len(elsewhere) / max(1, min(len(texts), MAX_GUESSED)), 2),
        "examples": [excerpt(text) for text in elsewhere[:EXAMPLES]],
    }


def script_warnings(languages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Warnings where the script of texts is not that of their language; `languages` by side."""
    wrong = {
        side: found for side, found in languages.items()
        if script_of(found["language"]) != script_of(found["told_from_script"])
    }  # fmt: skip
    lines = [
        f"the {side} is said to be {found['language']}, but its script looks like {found['told_from_script']}"
        for side, found in wrong.items()
    ]
    if len(wrong) == 2:
        lines.append("both sides are in another script than said: are source and target changed round?")
    for side, found in languages.items():
        if found["elsewhere_share"] >= NOTABLE_ELSEWHERE:
            lines.append(
                f"{found['elsewhere_share']:g} % of the {side}s are in another script, as '{found['examples'][0][:40]}'"
            )
    return lines


def unknown_words(share: Mapping[str, Any]) -> str | None:
    """The characters that a vocabulary lacks, in words; None if there are none."""
    if not share["different"]:
        return None
    return f"{share['share']} % of characters, {share['different']} different: {' '.join(share['examples'])}"
