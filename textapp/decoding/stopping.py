"""Stop strings, and text that is shown while it is being written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

UNFINISHED = "\ufffd"  # what a tokenizer decodes the first bytes of a character to

Decode = Callable[[Sequence[int]], str]


class Stops:
    """Strings that end a text, wherever the borders of tokens lie.

    Args:
        strings: the stop strings, none of them empty.

    Example: `Stops(["\\n\\n", "END"]).cut("one EN")` is `("one EN", False)`, and `cut("one END two")` `("one ", True)`.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings

    def cut(self, text: str) -> tuple[str, bool]:
        """The text before the stop string that is the first to be complete, and whether there is one.

        The first to be complete and not the first to begin: so it is the same whether a text comes whole or in pieces.
        """
        found = [(place + len(string), place) for string in self._strings if (place := text.find(string)) >= 0]
        return (text[: min(found)[1]], True) if found else (text, False)

    def safe(self, text: str) -> str:
        """The text without an end that a stop string may begin with.

        Example: `Stops(["END"]).safe("one EN")` is `"one "`.
        """
        for start in range(max(0, len(text) - max(map(len, self._strings), default=0) + 1), len(text)):
            if any(string.startswith(text[start:]) for string in self._strings):
                return text[:start]
        return text


def pieces(token_ids: Iterable[int], decode: Decode, stops: Stops) -> Iterator[str]:
    """Text piece by piece as its tokens come; together the pieces are the text of all tokens.

    A character is shown when all its bytes are there, and what may become a stop string when it is sure not to.

    Args:
        token_ids: the new tokens, one after the other.
        decode: all tokens so far to their text.
        stops: the text ends before the first of them.

    Example: the tokens of `天` in bytes, E5 A4 A9, give nothing, nothing and `天`.
    """
    seen: list[int] = []
    text = shown = ""
    for token_id in token_ids:
        seen.append(token_id)
        text, stopped = stops.cut(decode(seen))
        if stopped:
            break
        ready = stops.safe(text.rstrip(UNFINISHED))
        if len(ready) > len(shown) and ready.startswith(shown):
            yield ready[len(shown) :]
            shown = ready
    if len(text) > len(shown):
        yield text[len(shown) :]
