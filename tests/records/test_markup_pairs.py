"""Sentence pairs of SGML and XML: test sets of WMT and translation memories."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from textapp.catalog import parse_config, recipe_of
from textapp.errors import DataError
from textapp.recipes.splits import load_splits, settled_layout
from textapp.records import markup
from textapp.records.layout import Layout
from textapp.records.pairs import load_pairs, scan_pairs
from textapp.records.rows import RowError

LAYOUT = Layout({"source": ["source", "zh"], "target": ["target", "en"]})
SIDES = {"source": "a-src.zh.sgm", "target": "a-ref.en.sgm"}
PAIRS = [("一 & 二", "one & two"), ("三", "three <b>"), ("四", "four")]

SOURCES = """<srcset setid="news" srclang="any">
<doc sysid="src" docid="d1" genre="news" origlang="zh">
<p>
<seg id="1">一 &amp; 二</seg>
<seg id="2"> 三 </seg>
</p>
</doc>
<doc docid="d2"><seg id="1">四</seg></doc>
</srcset>
"""
# The documents in another order, unquoted attributes, capitals, characters that XML would not allow.
REFERENCES = """<refset setid="news" srclang="any" trglang="en">
<DOC docid=d2 sysid=ref><SEG id=1>four</SEG></DOC>
<doc sysid="ref" docid="d1">
<!-- <seg id="9">no</seg> -->
<hl><seg id="1">one & two</seg></hl>
<seg id="2">three &lt;b&gt;
</seg>
</doc>
</refset>
"""
WMT21 = """<?xml version='1.0' encoding='utf-8'?>
<dataset id="news">
  <doc origlang="zh" id="d1">
    <src lang="zh">
      <p>
        <seg id="1">一 &amp; 二</seg>
        <seg id="2">三</seg>
      </p>
    </src>
    <ref lang="en" translator="A">
      <p><seg id="1">one &amp; two</seg></p><p><seg id="2">three &lt;b></seg></p>
    </ref>
    <ref lang="en" translator="B"><p><seg id="1">1, 2</seg><seg id="2">3</seg></p></ref>
    <hyp system="S" lang="en"><p><seg id="1">wrong</seg><seg id="2">wrong</seg></p></hyp>
  </doc>
  <doc id="d2"><src lang="zh"><seg id="1">四</seg></src><ref lang="en"><seg id="1">four</seg></ref></doc>
</dataset>
"""
MEMORY = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4">
  <header creationtool="x" srclang="en" segtype="sentence"/>
  <body>
    <tu tuid="1">
      <note>a note</note>
      <tuv xml:lang="zh-CN"><prop type="x">p</prop><seg>一 &amp; 二</seg></tuv>
      <tuv xml:lang="en-US"><seg>one &#38; two</seg></tuv>
    </tu>
    <tu><tuv xml:lang="EN"><seg>three &lt;b></seg></tuv>
        <tuv xml:lang="zh"><seg>三<ph x="1">&lt;br/&gt;</ph></seg></tuv></tu>
    <tu><tuv lang="zh_CN"><seg><bpt i="1">&lt;b&gt;<sub>no</sub></bpt><hi>四</hi><ept i="1">&lt;/b&gt;</ept></seg></tuv>
        <tuv xml:lang="en"><seg>four</seg></tuv></tu>
  </body>
</tmx>
"""
ONLY_GERMAN = '<tu><tuv xml:lang="de"><seg>vier</seg></tuv><tuv xml:lang="en"><seg>four</seg></tuv></tu>'


def write(folder: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode("utf-8")
        (folder / name.replace("__", ".").replace("_", "-")).write_bytes(data)


def pairs(folder: Path, source: object, layout: Layout = LAYOUT) -> list[tuple[str, str]]:
    return [(record["source"], record["target"]) for record in load_pairs(source, layout, folder)]


def error(folder: Path, source: object, layout: Layout = LAYOUT) -> str:
    with pytest.raises(DataError) as caught:
        pairs(folder, source, layout)
    return str(caught.value).replace(f"{folder}/", "")


def asked(folder: Path, name: str, layout: Layout = LAYOUT) -> list[tuple[int, object]]:
    return [
        (line, str(row) if isinstance(row, RowError) else row["source"])
        for line, row in scan_pairs(name, layout, folder)
    ]


# --- test sets -------------------------------------------------------------------------------------------------------


def test_two_test_sets_are_paired_by_documents_and_numbers(tmp_path: Path) -> None:
    write(tmp_path, a_src__zh__sgm=SOURCES, a_ref__en__sgm=REFERENCES, b__sgml__gz=gzip.compress(SOURCES.encode()))
    assert pairs(tmp_path, SIDES) == PAIRS
    assert pairs(tmp_path, {**SIDES, "source": "b.sgml.gz"}) == PAIRS


def test_a_test_set_with_references(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "textapp")
    write(tmp_path, a__xml=WMT21)
    assert pairs(tmp_path, "a.xml") == PAIRS
    assert "a.xml: further references of a segment are not read: 2" in caplog.text
    assert pairs(tmp_path, {"source": "a.xml", "target": "a.xml"}) == PAIRS
    assert asked(tmp_path, "a.xml") == [(6, "一 & 二"), (7, "三"), (16, "四")]


def test_both_sets_in_one_file(tmp_path: Path) -> None:
    write(tmp_path, a__sgm=f"<mteval>{SOURCES}{REFERENCES}</mteval>")
    assert pairs(tmp_path, "a.sgm") == PAIRS


def test_texts_to_translate_of_a_test_set(tmp_path: Path) -> None:
    write(tmp_path, a__sgm=SOURCES.replace("四", ""))
    assert asked(tmp_path, "a.sgm") == [(4, "一 & 二"), (5, "三"), (8, "")]


def test_a_test_set_beside_lines(tmp_path: Path) -> None:
    write(tmp_path, a_src__zh__sgm=SOURCES, a__en="one\ntwo\nthree\n", b__en="one\n")
    assert [target for _, target in pairs(tmp_path, {**SIDES, "target": "a.en"})] == ["one", "two", "three"]
    assert "a-src.zh.sgm has 3 lines, b.en has 1" in error(tmp_path, {**SIDES, "target": "b.en"})


def test_segments_without_numbers_are_counted(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_src__zh__sgm="<doc><seg>一</seg><seg>二</seg></doc><doc><seg>三</seg></doc>",
        a_ref__en__sgm="<doc><seg id=1>one</seg><seg id=2>two</seg></doc><doc><seg>three</seg></doc>",
    )
    assert pairs(tmp_path, SIDES) == [("一", "one"), ("二", "two"), ("三", "three")]


@pytest.mark.parametrize(
    ("sources", "references", "words"),
    [
        (SOURCES, REFERENCES.replace("id=1", "id=7"), ["a-ref.en.sgm: has no segment 1 of document 'd2'", "sgm:8"]),
        (SOURCES.replace('id="2"', 'id="3"'), REFERENCES, ["no segment 3 of document 'd1'", "1 of 3 segments"]),
        (SOURCES.replace('"d2"', '"d3"'), REFERENCES, ["document 'd3'", "the same documents and segments"]),
        (
            SOURCES,
            REFERENCES.replace('"2"', '"1"'),
            ["a-ref.en.sgm:6: found segment 1 of document 'd1' again", "line 5"],
        ),
        (SOURCES.replace(" 三 </seg>", "三"), REFERENCES, ["a-src.zh.sgm:7: found </doc> in the segment of line 5"]),
        (SOURCES.replace("二</seg>", "二"), REFERENCES, ["a-src.zh.sgm:5: found <seg> in the segment of line 4"]),
        (SOURCES[:110], REFERENCES, ["a-src.zh.sgm: the file ends without </seg>", "cut off"]),
        (SOURCES[:150], REFERENCES, ["a-src.zh.sgm: the file ends without </doc>", "cut off"]),
        (SOURCES.replace("</srcset>", ""), REFERENCES, ["a-src.zh.sgm: the file ends without </srcset>"]),
        ("<srcset></srcset>", REFERENCES, ["a-src.zh.sgm: has no <seg>"]),
        ('<!DOCTYPE x [<!ENTITY a "b">]><seg>&a;</seg>', REFERENCES, ["a-src.zh.sgm:1: declares an entity"]),
    ],
)
def test_unequal_and_broken_test_sets(tmp_path: Path, sources: str, references: str, words: list[str]) -> None:
    write(tmp_path, a_src__zh__sgm=sources, a_ref__en__sgm=references)
    message = error(tmp_path, SIDES)
    assert all(word in message for word in words), message


def test_one_side_alone_is_no_pair(tmp_path: Path) -> None:
    write(tmp_path, a_src__zh__sgm=SOURCES, a__xml=WMT21.replace("ref", "x"), a__tmx=MEMORY)
    assert "has one side of a translation, expected both" in error(tmp_path, "a-src.zh.sgm")
    assert "has one side of a translation, expected both" in error(tmp_path, "a.xml")
    write(
        tmp_path, a__xml=WMT21.replace("ref", "x").replace("</dataset>", "<doc><ref><seg>x</seg></ref></doc></dataset>")
    )
    assert "none of 3 segments has a reference, <ref>" in error(tmp_path, "a.xml")
    assert "a.tmx: has both sides of a translation" in error(tmp_path, {"source": "a.tmx", "target": "a.tmx"})


def test_stray_characters_are_text_in_sgml(tmp_path: Path) -> None:
    stray = "a<b AT&T &copy=2 &unknown; &lt;i&gt; &#169; &eacute; 5 < 6 > 4 <i>x</i>"
    write(tmp_path, a__sgm=f"<seg>{stray}</seg><![CDATA[no]]><seg><![CDATA[a <b> &amp;]]></seg>")
    read = "a<b AT&T &copy=2 &unknown; <i> © é 5 < 6 > 4 x"
    assert [text for _, text in asked(tmp_path, "a.sgm")] == [read, "a <b> &amp;"]


def test_sgml_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a_src__zh__sgm=SOURCES.replace("<seg id", "<seg\n id"), a_ref__en__sgm=REFERENCES)
    whole = asked(tmp_path, "a-src.zh.sgm"), pairs(tmp_path, SIDES)

    def single_characters(pieces: Iterable[str]) -> Iterable[tuple[str, bool]]:
        yield from ((character, False) for piece in pieces for character in piece)
        yield "", True

    monkeypatch.setattr(markup, "_with_end", single_characters)
    assert (asked(tmp_path, "a-src.zh.sgm"), pairs(tmp_path, SIDES)) == whole and whole[1] == PAIRS


@pytest.mark.parametrize("part", ["<!--", "<![CDATA[", "<seg ", "<!", "&a", " ", "<", "<seg x", "<doc>", "<a>a "])
def test_no_sgml_takes_long(tmp_path: Path, part: str) -> None:
    write(tmp_path, a__sgm=f"<seg>a{part * (1_000_000 // len(part))}</seg>")
    started = time.process_time()
    with suppress(DataError):
        asked(tmp_path, "a.sgm")
    assert time.process_time() - started < 5


# --- translation memories --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "big5"])
def test_a_memory_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    text = MEMORY.replace("UTF-8", "UTF-16" if "16-" in encoding else encoding.removesuffix("-sig"))
    write(tmp_path, a__tmx=text.encode(encoding), b__tmx__gz=gzip.compress(text.encode(encoding)))
    assert pairs(tmp_path, "a.tmx") == pairs(tmp_path, "b.tmx.gz") == PAIRS


def test_a_memory_that_was_converted_since_it_was_declared(tmp_path: Path) -> None:
    write(tmp_path, a__tmx=MEMORY.replace("UTF-8", "UTF-16"), b__xml=MEMORY.replace("UTF-8", "windows-1252"))
    assert pairs(tmp_path, "a.tmx") == pairs(tmp_path, "b.xml") == PAIRS


def test_units_without_a_language_are_dropped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, a__tmx=MEMORY.replace("</body>", f"{ONLY_GERMAN}</body>"))
    assert pairs(tmp_path, "a.tmx") == PAIRS
    assert "a.tmx: dropped 1 of 4 segments: they are without a text in zh, zh-CN, zh_CN or EN, en, en-US" in caplog.text
    *answered, (line, unanswered) = asked(tmp_path, "a.tmx")
    assert answered == [(6, "一 & 二"), (11, "三"), (13, "四")]
    assert line == 15 and "a.tmx:15: the unit has no text in zh, zh-CN, zh_CN, only in de, en" in unanswered


def test_a_region_is_preferred(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unit = "".join(f'<tuv xml:lang="{tag}"><seg>{tag} text</seg></tuv>' for tag in ("zh-TW", "zh-CN", "en-GB", "en-US"))
    write(tmp_path, a__tmx=MEMORY.replace("<body>", f"<body><tu>{unit}</tu>"))
    exact = Layout({"source": ["zh_cn"], "target": ["en-us"]})
    assert pairs(tmp_path, "a.tmx", exact) == [("zh-CN text", "en-US text"), PAIRS[0]]
    assert "dropped 2 of 4 segments" in caplog.text and "several" not in caplog.text
    assert pairs(tmp_path, "a.tmx")[0] == ("zh-TW text", "en-GB text")
    assert "a.tmx: 1 units have several texts in a language: the first is taken" in caplog.text


def config_layout(folder: Path, **data: object) -> tuple[Layout, list[dict]]:
    raw = {"task": "translation", "run": "r", "data": {"train": "a.tmx", **data}, "model": {"architecture": "lstm"}}
    config, recipe = parse_config(raw), recipe_of("translation")
    return settled_layout(recipe, config, folder), load_splits(recipe, config, folder).train


def test_the_two_languages_of_a_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The header names the source; what was found is kept for later files of the run."""
    caplog.set_level("INFO", "textapp")
    units = "".join(MEMORY.split("<body>")[1].split("</body>")[0] for _ in range(9)).replace("三", "五")
    write(tmp_path, a__tmx=MEMORY.replace("<body>", f"<body>{units}"), b__tmx=MEMORY)
    layout, train = config_layout(tmp_path, validation="b.tmx")
    assert (train[0]["source"], train[0]["target"]) == ("one & two", "一 & 二")
    assert "a.tmx: en-US, EN, en are taken as the source" in caplog.text
    keys = recipe_of("translation").keys
    assert asked(tmp_path, "b.tmx", Layout.of_manifest(layout.to_manifest(), keys))[0] == (6, "one & two")
    for given in (
        {"source_language": "zh"},
        {"target_language": "en"},
        {"source_language": "zh", "target_language": "en"},
    ):
        _, train = config_layout(tmp_path, validation="b.tmx", **given)
        assert (train[0]["source"], train[0]["target"]) == ("一 & 二", "one & two")


def test_languages_that_are_not_known(tmp_path: Path) -> None:
    write(tmp_path, a__tmx=MEMORY.replace("</body>", f"{ONLY_GERMAN}</body>"), b__tmx=MEMORY)
    with pytest.raises(DataError, match="found the languages zh-CN, en-US, EN, zh, zh_CN, en, de, expected two: set"):
        config_layout(tmp_path)
    french = Layout({"source": ["source", "fr"], "target": ["target", "en"]})
    assert "none of which is known as the source: set data.source_language" in error(tmp_path, "b.tmx", french)
    same = Layout({"source": ["en"], "target": ["en-US"]})
    assert "is both source and target" in error(tmp_path, "b.tmx", same)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("&amp; 二", "& 二", ["a.tmx:8: not XML (not well-formed", "write & as &amp;"]),
        ("&amp; 二", "&nbsp; 二", ["a.tmx:8: found &nbsp;", "write the character"]),
        ("四</hi>", "四", ["a.tmx:13: not XML (mismatched tag)"]),
        (' SYSTEM "tmx14.dtd"', ' [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]', ["a.tmx:2: declares the entity 'a'"]),
        (' xml:lang="zh-CN"', "", ["a.tmx:8: found <tuv> without a language"]),
        ('<tu><tuv xml:lang="EN">', '<tuv xml:lang="EN">', ["a.tmx:11: found <tuv> outside of <tu>"]),
        ("  </body>\n</tmx>\n", "", ["a.tmx:15: not XML (no element found)", "cut off"]),
    ],
)
def test_memories_that_are_no_xml(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in MEMORY
    write(tmp_path, a__tmx=MEMORY.replace(old, new))
    message = error(tmp_path, "a.tmx")
    assert all(word in message for word in words), message


def test_broken_xml_of_a_test_set_says_that_sgml_may_be(tmp_path: Path) -> None:
    write(tmp_path, a__xml=WMT21.replace("&amp;", "&"), b__xml="<x><y>text</y></x>")
    assert "a.xml:6: not XML" in error(tmp_path, "a.xml") and "rename the file to .sgm" in error(tmp_path, "a.xml")
    assert "b.xml: has no <seg>" in error(tmp_path, "b.xml")


@pytest.mark.parametrize("content", [SOURCES, MEMORY, WMT21, '<seg id="1">一</seg>\n<seg id="2">二</seg>\nx\n'])
@pytest.mark.parametrize("name", ["a.zh", "a.txt"])
def test_markup_of_another_name_is_no_text(tmp_path: Path, content: str, name: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    message = error(tmp_path, {"source": name, "target": name})
    assert f"{name}: found " in message and "looks like SGML or XML" in message and "rename it to .sgm" in message
    with pytest.raises(DataError, match="looks like SGML or XML"):
        asked(tmp_path, name)


# --- languages -----------------------------------------------------------------------------------------------------


def languages_of(source: str, target: str) -> Layout:
    """As a config with these languages gives it."""
    usual = {"source": ("source", "src"), "target": ("target", "tgt")}
    return Layout({"source": ["source", "src", source], "target": ["target", "tgt", target]}, usual=usual)


REVERSED = [(target, source) for source, target in PAIRS]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("zh", "en", PAIRS), ("en", "zh", REVERSED), ("en-GB", "zh_CN", REVERSED), ("eng", "", REVERSED),
        ("", "zho", REVERSED), ("", "", PAIRS),
    ],
)  # fmt: skip
def test_the_languages_of_a_test_set_tell_its_sides(
    tmp_path: Path, source: str, target: str, expected: list[tuple[str, str]]
) -> None:
    write(tmp_path, a__xml=WMT21)
    pairs = load_pairs("a.xml", languages_of(source, target), tmp_path)
    assert [(pair["source"], pair["target"]) for pair in pairs] == expected
    texts = [record["source"] for _, record in scan_pairs("a.xml", languages_of(source, target), tmp_path)]
    assert texts == [source for source, _ in expected]


def test_other_languages_than_the_config_has(tmp_path: Path) -> None:
    write(tmp_path, a__xml=WMT21)
    with pytest.raises(DataError, match=r"a.xml: found <ref> in en, expected the target in de: correct data.target_l"):
        load_pairs("a.xml", languages_of("zh", "de"), tmp_path)
    with pytest.raises(DataError, match="found <src> in zh, expected the source in fr"):
        list(scan_pairs("a.xml", languages_of("fr", "en"), tmp_path))


def test_the_languages_of_two_sides(tmp_path: Path) -> None:
    sources = SOURCES.replace('srclang="any"', 'srclang="Chinese"')
    references = REFERENCES.replace('trglang="en"', 'trglang="English"')
    write(tmp_path, a__sgm=sources, b__sgm=references)
    there, back = {"source": "a.sgm", "target": "b.sgm"}, {"source": "b.sgm", "target": "a.sgm"}
    assert len(load_pairs(there, languages_of("zh", "en"), tmp_path)) == 3
    assert load_pairs(back, languages_of("en", "zh"), tmp_path)[0] == {"source": "four", "target": "四"}
    with pytest.raises(DataError, match=r"b.sgm: found <ref> in en, expected the source in zh"):
        load_pairs(back, languages_of("zh", "en"), tmp_path)
    with pytest.raises(DataError, match=r"b.sgm: found <ref> in en, expected the source in zh"):
        list(scan_pairs("b.sgm", languages_of("zh", "en"), tmp_path))


def test_regions_of_a_language_are_one_language(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "textapp")
    units = "".join(
        f'<tu><tuv xml:lang="zh-CN"><seg>{each}</seg></tuv><tuv xml:lang="{tag}"><seg>{each} it</seg></tuv></tu>'
        for each, tag in zip("一二三四五六七八九十", ["en-US", "en-GB"] * 5, strict=True)
    )
    write(tmp_path, a__tmx=f'<tmx version="1.4"><header srclang="zh-CN"/><body>{units}</body></tmx>')
    layout, train = config_layout(tmp_path)
    assert len(load_pairs("a.tmx", layout, tmp_path)) == 10
    assert (layout.columns["source"][-1], layout.columns["target"][-1]) == ("zh-CN", "en")
    assert "en-US, en-GB are taken as the target" in caplog.text and "dropped" not in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xml", '<?xml version="1.0"?><xliff version="1.2"><file/></xliff>',
         "a.xml:1: found <xliff>, which is XLIFF, expected a test set with <seg>, or TMX: export it as TMX"),
        ("a.tmx", MEMORY.replace("three", "th&#x1F;ree"),
         "a.tmx:11: not XML (reference to invalid character number): delete the number of a character (&#...;) there"),
        ("a.tmx", MEMORY.replace("three", "th\x1free"),
         "a.tmx:11: not XML (not well-formed (invalid token)): delete the control character U+001F"),
        ("a.tmx", MEMORY.replace("three", "th & ree"),
         "a.tmx:11: not XML (not well-formed (invalid token)): write & as &amp; and < as &lt; in texts, and close every"
         " element"),
    ],
)  # fmt: skip
def test_xml_of_another_kind(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_pairs(name, LAYOUT, tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["a.tmx", "a.xml"])
def test_elements_with_the_prefix_of_a_namespace(tmp_path: Path, name: str) -> None:
    unit = '<x:tu><x:tuv xml:lang="en"><x:seg>good <x:ph>[1]</x:ph>day</x:seg></x:tuv>'
    unit += '<x:tuv xml:lang="de"><x:seg>guten Tag</x:seg></x:tuv></x:tu>'
    body = f'<x:header srclang="de"/><x:body>{unit}</x:body>'
    (tmp_path / name).write_text(f'<x:tmx xmlns:x="http://www.lisa.org/tmx14">{body}</x:tmx>', encoding="utf-8")
    layout = Layout({"source": ["source", "de"], "target": ["target", "en"]})
    assert load_pairs(name, layout, tmp_path) == [{"source": "guten Tag", "target": "good day"}]
    assert markup.source_language(tmp_path / name) == "de"
