"""The likely encoding of bytes, and the names of encodings."""

from __future__ import annotations

import pytest

from textapp.encodings import likely_encoding, likely_encodings, text_encoding
from textapp.errors import UsageError

CHINESE = "标签,文本\n好评,酒店很干净，服务也不错。\n差评,隔音太差\n"
TRADITIONAL = "標籤,內容\n好評,酒店很乾淨，服務也不錯。\n"
JAPANESE = "ラベル,本文\n良い,ホテルは綺麗でした。\n"
KOREAN = "오늘은 날씨가 좋네요.\n이 영화는 정말 재미있었어요.\n"
FRENCH = "label,text\npos,déjà vu, mais génial : « très bon »\n"
GERMAN = "Das Essen war schön und größer als erwartet.\n"
RUSSIAN = "метка,текст\nхорошо,отель очень чистый\n"


@pytest.mark.parametrize(
    ("text", "encoding", "likely"),
    [
        (CHINESE, "gb18030", "gb18030"),
        ("什么是人工智能？", "gbk", "gb18030"),
        ("春天的景色。", "gb2312", "gb18030"),
        (TRADITIONAL, "cp950", "big5"),
        (JAPANESE, "cp932", "shift_jis"),
        (JAPANESE, "euc_jp", "euc-jp"),
        (KOREAN, "cp949", "euc-kr"),
        (FRENCH, "cp1252", "cp1252"),
        (GERMAN, "latin-1", "cp1252"),
        (RUSSIAN, "cp1251", "cp1251"),
        (CHINESE, "utf-16", "utf-16"),
        (CHINESE, "utf-16-le", "utf-16-le"),
        ("什么是人工智能？", "utf-16-be", "utf-16-be"),
        (GERMAN, "utf-16-be", "utf-16-be"),
        (RUSSIAN, "utf-16-le", "utf-16-le"),
        (CHINESE, "utf-32", "utf-32"),
        (FRENCH, "utf-32-be", "utf-32-be"),
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "utf-8-sig", "utf-8"),
        ("plain", "ascii", "utf-8"),
    ],
)
def test_likely_encoding(text: str, encoding: str, likely: str) -> None:
    assert likely_encoding(text.encode(encoding)) == likely
    assert text.encode(encoding).decode(text_encoding(likely)).removeprefix("\ufeff") == text


def test_a_sample_may_end_within_a_character() -> None:
    for encoding, likely in (("gb18030", "gb18030"), ("utf-8", "utf-8")):
        data = (CHINESE * 2000).encode(encoding)
        assert {likely_encoding(data[: 40_000 + end]) for end in range(6)} == {likely}
    assert likely_encoding("olé".encode("cp1252")) == "cp1252"  # whole, so the last byte is no half of a character


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", bytes(range(256)) * 4, b"\x7fELF\x02\x01\x01" + b"\0" * 64, b"\0A", b"A\0B\0"],
)
def test_what_is_no_text_has_none(data: bytes) -> None:
    assert likely_encoding(data) is None


def test_names() -> None:
    names = ["GBK", "gb2312", "Shift_JIS", "big5", "UTF8", "latin-1", "AUTO", "utf_16_le", "utf-8-sig"]
    expected = ["gb18030", "gb18030", "cp932", "cp950", "utf-8", "iso8859-1", "auto", "utf-16-le", "utf-8"]
    assert [text_encoding(name) for name in names] == expected


@pytest.mark.parametrize("name", ["gb18031", "hex", "rot13", "idna", "", "a\0b"])
def test_a_name_that_is_none_is_an_error(name: str) -> None:
    with pytest.raises(UsageError, match="--encoding: found .*, expected auto or an encoding such as utf-8, gb18030"):
        text_encoding(name, "--encoding")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("วันนี้อากาศดีมาก เราไปสวนสาธารณะกัน", "cp874"),
        ("الطقس جميل اليوم وسنذهب إلى الحديقة", "cp1256"),
        ("מזג האוויר יפה היום", "cp1255"),
        ("Ο καιρός είναι καλός σήμερα και πάμε στο πάρκο", "cp1253"),
        ("Сегодня хорошая погода, и мы пойдём в парк.", "koi8-r"),
        ("Сегодня хорошая погода, и мы пойдём в парк.", "cp866"),
        ("Příliš žluťoučký kůň a hezké počasí.", "cp1250"),
        ("Dziś jest piękna pogoda i pójdziemy do parku. Zażółć gęślą jaźń", "iso8859-2"),
        ("Bugün hava çok güzel, parka gidiyoruz. Işık ağaç şeker", "cp1254"),
        ("今日は天気がいいですね。", "iso2022_jp"),
        ("今天天气很好", "hz"),
    ],
)
def test_encodings_of_single_bytes_and_of_mail(text: str, encoding: str) -> None:
    assert likely_encodings(text.encode(encoding))[0] == encoding


def test_what_is_not_certain_has_several() -> None:
    assert likely_encodings("olé".encode("cp1252"))[0] == "cp1252"
    assert set(likely_encodings("olé".encode("cp1252"))) >= {"cp1252", "cp1250"}
    assert likely_encodings(CHINESE.encode("gbk")) == ["gb18030"]
