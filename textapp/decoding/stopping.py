"""Stop strings, and streaming of text while it is generated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

UNFINISHED = "\ufffd"  # what tokenizers decode an incomplete character to

Decode = Callable[[Sequence[int]], str]


class Stops:
    """Strings that end a text; they may begin and end inside tokens.

    Args:
        strings: the stop strings, none of them empty.

    Example: `Stops(["\\n\\n", "END"]).cut("one EN")` is `("one EN", False)`, and `cut("one END two")` `("one ", True)`.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings

    def cut(self, text: str) -> tuple[str, bool]:
        """Truncates the text before the stop string that ends first, and says whether there is one.

        The one that ends first, not the one that begins first, so that streaming gives the same text.
        """
        spans = [(start + len(string), start) for string in self._strings if (start := text.find(string)) >= 0]
        return (text[: min(spans)[1]], True) if spans else (text, False)

    def safe(self, text: str) -> str:
        """The text without an end that may be the beginning of a stop string.

        Example: `Stops(["END"]).safe("one EN")` is `"one "`.
        """
        for start in range(max(0, len(text) - max(map(len, self._strings), default=0) + 1), len(text)):
            if any(string.startswith(text[start:]) for string in self._strings):
                return text[:start]
        return text


def pieces(token_ids: Iterable[int], decode: Decode, stops: Stops) -> Iterator[str]:
    """Yields the text in pieces as its tokens are generated; together the pieces are the text of all tokens.

    A character is yielded once all its bytes are there; the possible beginning of a stop string once it is not one.

    Args:
        token_ids: the new tokens, one at a time.
        decode: function from all tokens so far to their text.
        stops: stop strings; the text ends before the first of them.

    Example: the byte tokens E5 A4 A9 of `天` yield nothing twice and then `天`.
    """
    seen: list[int] = []
    text = yielded = ""
    for token_id in token_ids:
        seen.append(token_id)
        text, stopped = stops.cut(decode(seen))
        if stopped:
            break
        ready = stops.safe(text.rstrip(UNFINISHED))
        if len(ready) > len(yielded) and ready.startswith(yielded):
            yield ready[len(yielded) :]
            yielded = ready
    if len(text) > len(yielded):
        yield text[len(yielded) :]
