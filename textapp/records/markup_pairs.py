"""Sentence pairs of SGML and XML: two test sets as parallel files, a test set with references, a translation memory."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING

from textapp.errors import DataError
from textapp.languages import language_of, normalized
from textapp.records.columns import names_of
from textapp.records.markup import Segment, Unit, is_memory, segments, source_language, units
from textapp.records.rows import Row, RowError

if TYPE_CHECKING:
    from textapp.records.layout import Layout

_SIDES = ("source", "target")
_NO_LANGUAGES = ("src", "tgt")  # usual names of columns, and codes of two small languages

_logger = logging.getLogger("textapp")


def segments_of_side(path: Path, side: str, layout: Layout) -> list[Segment]:
    """The segments of one of two parallel files.

    A file with sources and references gives those of the side; of several references for a segment the first is taken.

    Args:
        path: a test set.
        side: `source` or `target`.
        layout: with the encoding of a file that does not name it, and the language of the side.

    Raises:
        DataError: the file cannot be read, is a translation memory, lacks the side, or has other languages.
    """
    if is_memory(path, layout.encoding):
        raise DataError(f"{path}: has both sides of a translation, expected one: give it alone, train: {path.name}")
    found = list(segments(path, layout.encoding))
    roles = {segment.role for segment in found}
    found = _in_language(path, found, side, _languages_of(layout, side))
    if len({segment.role for segment in found}) > 1:
        found = [segment for segment in found if segment.role == side]
    if not found:
        raise DataError(f"{path}: has no {_element(side)}, only {', '.join(map(_element, sorted(roles)))}")
    return _first_of_each(path, found)


def pairs_of_sides(source_path: Path, target_path: Path, layout: Layout) -> Iterator[dict[str, str]]:
    """Yields the pairs of two test sets, `{"source", "target"}`, by documents and numbers of their segments.

    Args:
        source_path: the sources.
        target_path: their translations.
        layout: with the encoding of files that do not name it, and the languages.

    Raises:
        DataError: a segment of one file is missing in the other, or a file cannot be read.
    """
    sources = segments_of_side(source_path, "source", layout)
    targets = segments_of_side(target_path, "target", layout)
    _check_same(source_path, sources, target_path, targets)
    _check_same(target_path, targets, source_path, sources)
    by_key = {_key(segment): segment.text for segment in targets}
    for segment in sources:
        yield {"source": segment.text, "target": by_key[_key(segment)]}


def markup_rows(path: Path, layout: Layout, required: Collection[str]) -> Iterator[Row | RowError]:
    """Yields a row for each segment of a test set, or each unit of a translation memory.

    Args:
        path: the file.
        layout: of which the names of the columns are languages of a translation memory.
        required: `source`, and `target` if a row must have it: then units without one of them are dropped, and counted
            in the log. Otherwise a unit without a source is an error of its own.

    Raises:
        DataError: the file cannot be read, or has not the languages or the side.
    """
    if is_memory(path, layout.encoding):
        return _memory_rows(path, layout, required)
    return _test_set_rows(path, layout, required)


# --- test sets -----------------------------------------------------------------------------------------------------


def _key(segment: Segment) -> tuple[str, str]:
    return segment.document, segment.number


def _element(role: str) -> str:
    return {"source": "<src>", "target": "<ref>", "system": "<hyp>"}.get(role, "<seg> outside of <src> and <ref>")


def _first_of_each(path: Path, found: list[Segment]) -> list[Segment]:
    """The segments without those that further translators wrote."""
    first: dict[tuple[str, str], Segment] = {}
    for segment in found:
        other = first.setdefault(_key(segment), segment)
        if other is not segment and other.author == segment.author:
            raise DataError(
                f"{path}:{segment.line}: found segment {segment.number} of document {segment.document!r} again, which"
                f" is in line {other.line}; expected it once"
            )
    if len(first) < len(found):
        _logger.info("%s: further references of a segment are not read: %d", path, len(found) - len(first))
    return list(first.values())


def _check_same(path: Path, found: list[Segment], other_path: Path, others: list[Segment]) -> None:
    known = {_key(segment) for segment in others}
    missing = [segment for segment in found if _key(segment) not in known]
    if missing:
        segment = missing[0]
        raise DataError(
            f"{other_path}: has no segment {segment.number} of document {segment.document!r}, which is in"
            f" {path}:{segment.line} ({len(missing)} of {len(found)} segments are missing, the file has {len(others)});"
            f" expected the same documents and segments in both files"
        )


def _languages_of(layout: Layout, side: str) -> set[str]:
    """The languages by which a config or a caller names a side; empty if it is named by other words alone."""
    names = [name for name in names_of(layout.columns.get(side, [])) if name not in _NO_LANGUAGES]
    return set(filter(None, map(language_of, names)))


def _in_language(path: Path, found: list[Segment], side: str, languages: Set[str]) -> list[Segment]:
    """The segments in the language of a side, if the config and the file name it; else all.

    Raises:
        DataError: the file names other languages alone.
    """
    if not languages or not all(segment.language for segment in found):
        return found
    chosen = [segment for segment in found if segment.language in languages and segment.role != "system"]
    if not chosen:
        named = dict.fromkeys(f"{_element(segment.role)} in {segment.language}" for segment in found)
        raise DataError(
            f"{path}: found {', '.join(named)}, expected the {side} in {' or '.join(sorted(languages))}: correct"
            f" data.{side}_language, or give another file (of --data and --input: --columns {side}=LANGUAGE)"
        )
    return chosen


def _by_language(path: Path, found: list[Segment], layout: Layout) -> list[Segment]:
    """The segments of a test set, those in the language of the sources as sources, those of the targets as targets.

    The elements decide, unless the config and the file name the languages and these are the other way round.

    Raises:
        DataError: the file names other languages than the config.
    """
    wanted = {side: _languages_of(layout, side) for side in _SIDES}
    texts = [segment for segment in found if segment.role in _SIDES]
    own = {side: {segment.language for segment in texts if segment.role == side} for side in _SIDES}
    swapped = dict(zip(_SIDES, reversed(_SIDES), strict=True))
    if not any(wanted.values()) or not all(own.values()) or "" in own["source"] | own["target"]:
        return found

    def fits(roles: Mapping[str, str]) -> bool:
        return all(not wanted[side] or wanted[side] & own[roles[side]] for side in _SIDES)

    if not fits({side: side for side in _SIDES}):
        if not fits(swapped):
            for side in _SIDES:
                _in_language(path, [segment for segment in texts if segment.role == side], side, wanted[side])
        _logger.info("%s: %s is taken as the source, as the languages are set", path, _element("target"))
        texts = [segment._replace(role=swapped[segment.role]) for segment in texts]
    return [segment for segment in texts if not wanted[segment.role] or segment.language in wanted[segment.role]]


def _test_set_rows(path: Path, layout: Layout, required: Collection[str]) -> Iterator[Row | RowError]:
    roles = {segment.role for segment in segments(path, layout.encoding)}
    if not roles >= set(required) and "target" in required:
        raise DataError(
            f"{path}: has one side of a translation, expected both: {{source: SOURCES.sgm, target: REFERENCES.sgm}}, or"
            f" a file with <src> and <ref>"
        )
    found = list(segments(path, layout.encoding))
    if "source" not in roles:
        found = _in_language(path, found, "source", _languages_of(layout, "source"))
        yield from (Row(segment.line, {"source": segment.text}) for segment in found)
        return
    if "target" not in roles:
        found = _in_language(path, found, "source", _languages_of(layout, "source"))
    both = _by_language(path, found, layout)
    references = _first_of_each(path, [segment for segment in both if segment.role == "target"])
    targets = {_key(segment): {"target": segment.text} for segment in references}
    sources = _first_of_each(path, [segment for segment in both if segment.role == "source"])
    rows = [Row(each.line, {"source": each.text, **targets.get(_key(each), {})}) for each in sources]
    complete = [row for row in rows if all(side in row.values for side in required)]
    yield from complete
    _tell_dropped(path, len(rows) - len(complete), len(rows), "a reference, <ref>")


def _tell_dropped(path: Path, dropped: int, count: int, lacking: str) -> None:
    if dropped == count:
        raise DataError(f"{path}: none of {count} segments has {lacking}; expected both sides of a translation")
    if dropped:
        _logger.warning("%s: dropped %d of %d segments: they are without %s", path, dropped, count, lacking)


# --- translation memories --------------------------------------------------------------------------------------------


def settled_languages(path: Path, layout: Layout) -> dict[str, list[str | int]]:
    """The columns of a layout with the languages of a translation memory where the config names none.

    Args:
        path: the translation memory.
        layout: with default names of the columns, which a language may follow.

    Raises:
        DataError: the file has other than two languages.
    """
    tags = _tags(path, layout.encoding)
    columns = {side: list(layout.columns[side]) for side in _SIDES}
    open_sides = [side for side in _SIDES if len(columns[side]) == len(layout.usual[side])]
    given = {tag for side in _SIDES for tag in _tags_of(tags, names_of(layout.columns[side]))}
    rest: dict[str, list[str]] = {}
    for tag in tags:
        if tag not in given:
            rest.setdefault(normalized(tag), []).append(tag)
    if open_sides and len(rest) != len(open_sides):
        raise DataError(
            f"{path}: found the languages {_shown(tags)}, expected two: set data.source_language and"
            f" data.target_language"
        )
    first = normalized(source_language(path, layout.encoding))
    order = sorted(rest, key=lambda language: (language != first, tags.index(rest[language][0])))
    for side, language in zip(open_sides, order, strict=bool(open_sides)):
        same = rest[language]  # `en-US` and `en-GB` are one language
        columns[side].append(same[0] if len(same) == 1 else language)
        _logger.info("%s: %s %s taken as the %s", path, _shown(same), "is" if len(same) == 1 else "are", side)
    return {**layout.columns, **columns}


def _tags(path: Path, encoding: str) -> list[str]:
    """The languages of a translation memory as they are written, in order."""
    return list(dict.fromkeys(tag for unit in units(path, encoding) for tag, _ in unit.texts))


def _tags_of(tags: list[str], names: list[str]) -> list[str]:
    """The tags of a language that has one of some names: first the equal one, then those of other regions.

    Example: of `en-US`, `en-GB` and `de` these are the first two for `en`, and `en-GB` alone for `en_gb`.
    """
    for name in names:
        same = [tag for tag in tags if normalized(tag) == normalized(name)]
        equal = [tag for tag in same if _folded(tag) == _folded(name)]
        if same:
            return equal if equal and _folded(name) != normalized(name) else equal + [t for t in same if t not in equal]
    return []


def _folded(tag: str) -> str:
    return tag.strip().lower().replace("_", "-")


def _shown(tags: list[str]) -> str:
    return ", ".join(tag[:20] for tag in tags[:20]) or "(none)"


def _memory_rows(path: Path, layout: Layout, required: Collection[str]) -> Iterator[Row | RowError]:
    tags = _tags(path, layout.encoding)
    languages = {side: _tags_of(tags, names_of(layout.columns.get(side, []))) for side in _SIDES}
    for side in required:
        if not languages[side]:
            raise DataError(
                f"{path}: found the languages {_shown(tags)}, none of which is known as the {side}: set"
                f" data.{side}_language, or --columns source=LANGUAGE,target=LANGUAGE"
            )
    if set(languages["source"]) & set(languages["target"]):
        raise DataError(f"{path}: {languages['source'][0]} is both source and target, expected two languages")
    dropped = several = count = 0
    for unit in units(path, layout.encoding):
        texts = {side: _texts(unit, languages[side]) for side in _SIDES}
        values = {side: found[0] for side, found in texts.items() if found}
        several += any(len(set(found)) > 1 for found in texts.values())
        count += 1
        if all(side in values for side in required):
            yield Row(unit.line, values)
        elif "target" in required:
            dropped += 1
        else:
            wanted = _shown(languages["source"])
            yield RowError(path, unit.line, f"the unit has no text in {wanted}, only in {_shown([*dict(unit.texts)])}")
    if several:
        _logger.warning("%s: %d units have several texts in a language: the first is taken", path, several)
    _tell_dropped(path, dropped, count, f"a text in {_shown(languages['source'])} or {_shown(languages['target'])}")


def _texts(unit: Unit, tags: list[str]) -> list[str]:
    """The texts of a unit in a language, those of the first tag first."""
    return [text for wanted in tags for tag, text in unit.texts if tag == wanted]
