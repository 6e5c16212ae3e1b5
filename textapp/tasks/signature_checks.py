"""Whether the signatures of a model that generates text have the shapes that its task and its tokenizer ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textapp.decoding.signatures import (
    CACHE,
    DECODE,
    extend_name,
    extend_of,
    generate_name,
    prefill_name,
    several_name,
    several_of,
    short_places,
)
from textapp.errors import ArtifactError
from textapp.predictors.requests import TOKENS
from textapp.tasks.task import expect_shape

if TYPE_CHECKING:
    from textapp.runners.flatfile import SignatureShapes
    from textapp.text.tokenizer import Tokenizer

Shape = tuple[int, ...]


def check_signatures(
    shapes: Mapping[str, SignatureShapes],
    generate_lengths: Sequence[tuple[int, int]],
    tokenizer: Tokenizer,
    places: int,
) -> None:
    """Checks the lengths, the vocabulary, and the cache that steps pass on.

    Args:
        shapes: of each signature of the file, with one for each of `generate_lengths`.
        generate_lengths: `(read, new)` tokens of each greedy signature.
        tokenizer: of the output.
        places: of the cache, at least.

    Raises:
        ArtifactError: a signature that belongs to those of the file is missing, or has another shape.
    """
    for read, new in generate_lengths:
        name = generate_name(read, new)
        for output, shape in {TOKENS: (1, new), "num_tokens": (1,), "score": (1,)}.items():
            expect_shape(shapes[name].outputs, output, shape, name, "generate_lengths")
    if DECODE in shapes:  # else it decodes greedily only
        caches = {name: shape for name, shape in shapes[DECODE].inputs.items() if name.startswith(CACHE)}
        steps = _Steps(shapes, _vocabulary_size(shapes[DECODE], tokenizer), caches)
        steps.check_one_token(places)
        steps.check_prefills([read for read, _ in generate_lengths])
        steps.check_several_tokens()


def _vocabulary_size(step: SignatureShapes, tokenizer: Tokenizer) -> int:
    """The number of logits that is right: that of the tokenizer, but a preset's may be filled up."""
    found, size = step.outputs.get("logits", ()), tokenizer.vocabulary_size
    return max(found[1], size) if tokenizer.kind == "preset" and found[1:] else size


@dataclass(frozen=True)
class _Steps:
    """The signatures that read and return a cache.

    Attributes:
        shapes: of each signature.
        vocabulary_size: of their logits.
        caches: the entries of the cache, as `decode` reads them.
    """

    shapes: Mapping[str, SignatureShapes]
    vocabulary_size: int
    caches: Mapping[str, Shape]

    def check_one_token(self, places: int) -> None:
        """Checks `decode`, and the room in its cache."""
        step = self.shapes[DECODE]
        for name in ("token_id", "position"):
            expect_shape(step.inputs, name, (1,), DECODE, "generate_lengths")
        expect_shape(step.outputs, "logits", (1, self.vocabulary_size), DECODE, "tokenizer")
        for name, shape in self.caches.items():
            if "_memory_" in name:
                continue
            expect_shape(step.outputs, name, shape, DECODE, "its own inputs")
            if name.endswith(("_key", "_value")) and (len(shape) != 4 or shape[2] < places):
                raise ArtifactError(
                    f"model.tflite: signature {DECODE!r}: found {name} of the shape {list(shape)}, expected {places} "
                    "places as lengths and generate_lengths of manifest.json have it: copy the whole folder again"
                )

    def check_prefills(self, lengths: Sequence[int]) -> None:
        """Checks that there is a signature that fills the cache for each length."""
        for length in lengths:
            name = prefill_name(length)
            if name not in self.shapes:
                raise ArtifactError(f"model.tflite: has the signature {DECODE!r}, but not {name!r}: export it anew")
            expect_shape(self.shapes[name].inputs, TOKENS, (1, length), name, "generate_lengths")
            expect_shape(self.shapes[name].outputs, "logits", (1, self.vocabulary_size), name, "tokenizer")
            self._check_caches(name, self.shapes[name].outputs, self.caches)

    def check_several_tokens(self) -> None:
        """Checks the signatures that read several tokens at once, as far as there are any."""
        for name, tokens, logits, caches in self._several():
            several = self.shapes[name]
            expect_shape(several.inputs, TOKENS, (1, tokens), name, "its name")
            expect_shape(several.inputs, "position", (1,), name, "generate_lengths")
            expect_shape(several.outputs, "logits", logits, name, "tokenizer")
            rows = {entry: (*shape[:2], tokens, *shape[3:]) for entry, shape in caches.items()}
            if any(several.outputs.get(entry) == shape != caches[entry] for entry, shape in rows.items()):
                raise ArtifactError(
                    f"model.tflite: signature {name!r}: found the rows that it adds to the cache, as an earlier "
                    "textapp wrote them, expected the cache: export it anew"
                )
            self._check_caches(name, several.inputs, caches)
            for entry, shape in caches.items():
                expect_shape(several.outputs, entry, shape, name, "its own inputs")
        if most := extend_of(self.shapes):
            name = extend_name(most)
            expect_shape(self.shapes[name].inputs, "num_tokens", (1,), name, "generate_lengths")

    def _several(self) -> Iterator[tuple[str, int, Shape, Mapping[str, Shape]]]:
        """Each of them with its number of tokens, the shape of its logits, and its cache."""
        tokens, most = several_of(self.shapes), extend_of(self.shapes)
        logits = (1, tokens, self.vocabulary_size)
        if tokens > 1:
            yield several_name(tokens), tokens, logits, self.caches
        for places in short_places(self.shapes):
            short = {
                entry: (*shape[:2], min(places, shape[2]), *shape[3:]) if len(shape) == 4 else shape
                for entry, shape in self.caches.items()
            }
            yield several_name(tokens, places), tokens, logits, short
        if most:
            yield extend_name(most), most, (1, self.vocabulary_size), self.caches

    def _check_caches(self, signature: str, found: Mapping[str, Shape], caches: Mapping[str, Shape]) -> None:
        """Checks that a signature has these entries of the cache, and no others: those in one memory share all of it.

        Raises:
            ArtifactError: it has others, or of another shape.
        """
        for name, shape in caches.items():
            expect_shape(found, name, shape, signature, f"the signature {DECODE!r}")
        more = sorted(name for name in found if name.startswith(CACHE) and name not in caches)
        if more:
            raise ArtifactError(
                f"model.tflite: signature {signature!r}: found {more[0]}, which {DECODE!r} has not: export it anew"
            )
