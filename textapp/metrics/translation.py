"""Quality of translations, from 0 to 100: BLEU (Papineni et al., 2002) and chrF (Popović, 2015), by sacrebleu."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from textapp.errors import require
from textapp.languages import normalized
from textapp.metrics.bootstrap import Intervals, intervals

# BLEU tokenizers of languages without blanks between words; all others use 13a, as in the WMT shared tasks.
TOKENIZERS = {
    **dict.fromkeys(("zh", "yue", "wuu", "lzh", "gan", "hak"), "zh"),
    **dict.fromkeys(("ja", "th", "lo", "km", "my", "bo", "dz"), "char"),
}


def translation_scores(
    sources: Sequence[str], targets: Sequence[str], outputs: Sequence[str], target_language: str = "en"
) -> dict[str, Any]:
    """Scores translations; if a source occurs with several targets, also against all of its targets.

    Args:
        sources: the sentences.
        targets: a correct translation of each.
        outputs: the model's translation of each.
        target_language: `en`, `zh`, ...; determines how BLEU tokenizes.

    Returns:
        `examples`; against each sentence's own target `bleu`, `chrf` and their `bleu_signature`, `chrf_signature`;
        if a source occurs with different targets, `several_references`: {`sources` (each once), `references`, `bleu`,
        `chrf`, `bleu_signature`}.

    Raises:
        ValueError: there are no sentences, or the numbers of sources, targets and outputs differ.

    Example:
        translation_scores(["你好"], ["hello there you two"], ["hello there you two"])["bleu"] == 100.0
    """
    if not len(sources) or not len(sources) == len(targets) == len(outputs):
        raise ValueError(
            f"expected as many outputs as sources and targets and at least one, found {len(outputs)}, {len(sources)} "
            f"and {len(targets)}"
        )
    bleu, chrf = bleu_scorer(target_language), _sacrebleu().CHRF()
    scores = {
        "examples": len(sources),
        "bleu": _rounded(bleu.corpus_score(list(outputs), [list(targets)])),
        "chrf": _rounded(chrf.corpus_score(list(outputs), [list(targets)])),
        "bleu_signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
    }
    references = by_source(sources, targets)
    if len(references) == sum(map(len, references.values())):
        return scores
    first = dict(zip(reversed(sources), reversed(outputs), strict=True))
    return {**scores, "several_references": _several([first[source] for source in references], references, bleu, chrf)}


def by_source(sources: Sequence[str], targets: Sequence[str]) -> dict[str, list[str]]:
    """The distinct targets of each source, in order: `{"嗨": ["Hi.", "Hello."]}`."""
    references: dict[str, list[str]] = {}
    for source, target in zip(sources, targets, strict=True):
        known = references.setdefault(source, [])
        if target not in known:
            known.append(target)
    return references


def _several(outputs: list[str], references: Mapping[str, list[str]], bleu: Any, chrf: Any) -> dict[str, Any]:
    """Scores each source once, against all of its targets."""
    streams = _streams(references.values())
    scores = {
        "bleu": _rounded(bleu.corpus_score(outputs, streams)),
        "chrf": _rounded(chrf.corpus_score(outputs, streams)),
    }
    return {
        "sources": len(references),
        "references": sum(map(len, references.values())),
        **scores,
        "bleu_signature": str(bleu.get_signature()),
    }


def corpus_bleu(outputs: Sequence[str], references: Sequence[Sequence[str]], language: str = "en") -> float:
    """BLEU of outputs, each with one reference or several.

    Args:
        outputs: the texts.
        references: of each, at least one.
        language: determines how BLEU tokenizes.

    Example: `corpus_bleu(["the cat sat down"], [["a dog ran away", "the cat sat down"]])` is 100.0.
    """
    return _rounded(bleu_scorer(language).corpus_score(list(outputs), _streams(references)))


def translation_intervals(
    outputs: Sequence[str], references: Sequence[Sequence[str]], language: str = "en"
) -> Intervals:
    """The bootstrap intervals of `bleu` and `chrf`.

    Args:
        outputs: the texts.
        references: of each, at least one.
        language: determines how BLEU tokenizes.
    """
    chrf = _corpus_intervals("chrf", _sacrebleu().CHRF(), outputs, references)
    return {**bleu_intervals(outputs, references, language), **chrf}


def bleu_intervals(outputs: Sequence[str], references: Sequence[Sequence[str]], language: str = "en") -> Intervals:
    """The bootstrap interval of `bleu`.

    Args:
        outputs, references, language: as for `translation_intervals`.
    """
    return _corpus_intervals("bleu", bleu_scorer(language), outputs, references)


def _corpus_intervals(name: str, scorer: Any, outputs: Sequence[str], references: Sequence[Sequence[str]]) -> Intervals:
    """As sacrebleu's own bootstrap, which needs memory for a copy of the statistics for each of its samples."""
    statistics = np.array(scorer._extract_corpus_statistics(list(outputs), _streams(references)), dtype=float)
    return intervals(statistics, lambda sums: {name: scorer._compute_score_from_stats(sums.tolist()).score})


def _streams(references: Iterable[Sequence[str]]) -> list[list[str | None]]:
    """References as sacrebleu takes them: in streams, with None for a text that has fewer than others."""
    return [list(stream) for stream in zip_longest(*references)]


def bleu_scorer(target_language: str, sentence: bool = False) -> Any:
    """sacrebleu's BLEU with the tokenizer of a language: see `TOKENIZERS`.

    Args:
        target_language: `en`, `zh`, `zh-tw`, ...
        sentence: for single sentences: ignore n-gram orders that a sentence is too short for (effective order).
    """
    tokenizer = TOKENIZERS.get(normalized(target_language), "13a")
    # force: suppresses a warning; outputs of small models often end in " ." although they were not tokenized.
    return _sacrebleu().BLEU(tokenize=tokenizer, effective_order=sentence, force=True)


def worst_translations(
    records: Sequence[Mapping[str, Any]], answers: Sequence[Any], target_language: str = "en", limit: int = 20
) -> list[dict[str, Any]]:
    """The outputs that differ most from their targets.

    Args:
        records: with `source` and `target`.
        answers: of the same length, each with `output`.
        target_language: `en`, `zh`, ...; determines how BLEU tokenizes.
        limit: maximum number to return.

    Returns:
        Dicts of source, target, output and the sentence's own `bleu` and `chrf`, the lowest chrF first.
    """
    bleu, chrf = bleu_scorer(target_language, sentence=True), _sacrebleu().CHRF(eps_smoothing=True)
    rows = [
        {
            "source": record["source"],
            "target": record["target"],
            "output": answer.output,
            "bleu": _rounded(bleu.sentence_score(answer.output, [record["target"]])),
            "chrf": _rounded(chrf.sentence_score(answer.output, [record["target"]])),
        }
        for record, answer in zip(records, answers, strict=True)
    ]
    return sorted(rows, key=lambda row: (row["chrf"], row["bleu"]))[:limit]


def _sacrebleu() -> Any:
    return require("sacrebleu.metrics", "evaluate")


def _rounded(score: Any) -> float:
    return round(score.score, 4)
