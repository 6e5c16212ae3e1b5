"""Writes questions about short texts, Chinese and English, with the places of their answers, the same everywhere.

A text defines some things, half of them invented, and tells facts of some people and buildings; one question in seven
asks for what it does not say. The things and the people of the test split are not in train. `ASKED`, which the demo
asks about, is in neither split: it is defined in the documents alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from textapp.demo.samples.definitions import ASKED, THEMES, Concept
from textapp.demo.samples.frames import GAP

SEED = 20240610
TRAIN_TEXTS, TEST_TEXTS = 370, 40  # of each language
QUESTIONS = 3  # of each text
MIN_STATEMENTS, MAX_STATEMENTS = 3, 9
DEFINITIONS_OF_TEN = 6  # statements; the others are facts
UNANSWERED = 7  # one question in seven has no answer
HELD_OUT = 6  # one thing in six is of the test split


class Statement(NamedTuple):
    """A sentence, and what can be asked about it: pairs of a question and its answer."""

    text: str
    asked: tuple[tuple[str, str], ...]


class Frames(NamedTuple):
    """The sentences of one language, with gaps.

    Attributes:
        definitions: of a thing, with the gaps `{thing}` and `{definition}`.
        what_is: the questions about it.
        invented: definitions of things that do not exist.
        facts: a sentence, and its questions with their answers.
        words: those of each gap; `{year}` and `{number}` are numbers.
        gap: between two sentences.
    """

    definitions: tuple[str, ...]
    what_is: tuple[str, ...]
    invented: tuple[str, ...]
    facts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    words: Mapping[str, Sequence[str]]
    gap: str


CHINESE = Frames(
    definitions=("{thing}是{definition}。", "{thing}就是{definition}。", "{thing}指的是{definition}。"),
    what_is=("什么是{thing}？", "{thing}是什么？", "{thing}指的是什么？"),
    invented=(
        "一种{verb}{object}的{machine}", "一种{where}{verb}{object}的{machine}", "帮助人们{verb}{object}的{machine}",
        "研究如何{verb}{object}的{science}", "研究如何{verb}{object}和{object2}的{science}",
        "研究如何{where}{verb}、{verb2}{object}的{science}", "一家{verb}{object}的{firm}",
        "{where}{verb}{object}的{firm}",
    ),
    facts=(
        (
            "{person}于{year}年出生在{city}。",
            (("{person}出生在哪里？", "{city}"), ("{person}是哪一年出生的？", "{year}年")),
        ),
        (
            "{person}是一名{job}，住在{city}。",
            (("{person}是做什么工作的？", "{job}"), ("{person}住在哪里？", "{city}")),
        ),
        (
            "{city}的{building}建于{year}年，高{number}米。",
            (
                ("{city}的{building}有多高？", "{number}米"),
                ("{city}的{building}是哪一年建的？", "{year}年"),
            ),
        ),
        (
            "{person}每天早上{hour}点去{place}。",
            (("{person}每天早上去哪里？", "{place}"), ("{person}几点去{place}？", "{hour}点")),
        ),
    ),
    words={
        "person": tuple(f"{family}{given}" for family in "王李张刘陈杨赵黄周吴徐孙" for given in (
            "明", "华", "小红", "建国", "丽", "伟", "春梅", "志强", "晓东", "玉兰", "海", "思远", "雨", "国平",
        )),
        "city": ("北京", "上海", "苏州", "杭州", "成都", "西安", "昆明", "广州", "哈尔滨", "青岛", "南京", "拉萨"),
        "job": ("医生", "教师", "木匠", "司机", "画家", "记者", "厨师", "律师", "农民", "护士", "飞行员", "歌手"),
        "building": ("钟楼", "大桥", "灯塔", "教堂", "剧院", "古塔", "车站", "电视塔"),
        "place": ("公园", "学校", "市场", "医院", "河边", "图书馆", "工厂", "体育馆"),
        "hour": ("五", "六", "七", "八", "九", "十"),
        "verb": ("修理", "制造", "收集", "测量", "运送", "清洗", "出售", "寻找", "画出", "保护", "种植", "加工"),
        "object": (
            "自行车", "钟表", "地图", "小船", "鸟类", "石头", "老房子", "玻璃瓶", "树木", "蘑菇", "帽子", "桌椅",
            "蔬菜", "铁轨", "古书", "帐篷", "鱼和虾", "布料",
        ),
        "where": ("在夜里", "在北方", "在海边", "为学校", "用双手", "用很少的水", "在地下", "为农民"),
        "machine": ("机器", "工具", "软件", "装置", "仪器", "设备", "程序", "方法", "技术"),
        "science": ("学科", "科学", "学问", "课程"),
        "firm": ("公司", "工厂", "商店", "机构"),
        "name": tuple(f"{first}{second}" for first in "云星青白东金石飞天新" for second in (
            "帆", "河", "木", "鹤", "升", "桥", "山", "雁", "舟通", "元宝",
        )),
    },
    gap="",
)  # fmt: skip
ENGLISH = Frames(
    definitions=("{thing} is {definition}.", "{thing} is {definition}.", "By definition, {thing} is {definition}."),
    what_is=("What is {thing}?", "What's {thing}?", "What is meant by {thing}?"),
    invented=(
        "a {machine} that {verb}s {object}", "a {machine} that {verb}s {object} {where}",
        "a {machine} that helps people to {verb} {object}", "the {science} that {verb}s {object}",
        "the {science} that teaches people to {verb} {object} and {object2}",
        "the {science} that shows how to {verb} and to {verb2} {object}", "a {firm} that {verb}s {object}",
        "a {firm} that {verb}s {object} and {verb2}s {object2} {where}",
    ),
    facts=(
        (
            "{person} was born in {city} in {year}.",
            (("Where was {person} born?", "{city}"), ("When was {person} born?", "{year}")),
        ),
        (
            "{person} works as a {job} and lives in {city}.",
            (("What does {person} work as?", "a {job}"), ("Where does {person} live?", "{city}")),
        ),
        (
            "The {building} of {city} was built in {year} and is {number} metres high.",
            (
                ("How high is the {building} of {city}?", "{number} metres"),
                ("When was the {building} of {city} built?", "{year}"),
            ),
        ),
        (
            "Every morning {person} walks to the {place} at {hour}.",
            (
                ("Where does {person} walk every morning?", "the {place}"),
                ("When does {person} walk to the {place}?", "{hour}"),
            ),
        ),
    ),
    words={
        "person": tuple(f"{given} {family}" for given in (
            "Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Ida", "John", "Kate", "Leo", "Mary",
        ) for family in (
            "Baker", "Cooper", "Miller", "Stone", "Hill", "Wood", "Brown", "Young", "Fisher", "Carter", "Green", "Reed",
        )),
        "city": ("Paris", "London", "Rome", "Oslo", "Vienna", "Berlin", "Madrid", "Lisbon", "Dublin", "Cairo"),
        "job": ("doctor", "teacher", "carpenter", "driver", "painter", "nurse", "cook", "lawyer", "farmer", "pilot"),
        "building": ("bell tower", "bridge", "lighthouse", "church", "theatre", "old gate", "station", "castle"),
        "place": ("park", "school", "market", "hospital", "river", "library", "factory", "harbour"),
        "hour": ("five", "six", "seven", "eight", "nine", "ten"),
        "verb": (
            "repair", "paint", "collect", "clean", "count", "move", "sell", "make", "test", "weigh", "store", "build",
            "find", "sort", "protect",
        ),
        "object": (
            "bicycles", "clocks", "maps", "boats", "birds", "stones", "old houses", "glass bottles", "trees", "hats",
            "tables and chairs", "machines", "fish", "books", "tents", "cloth", "fresh vegetables", "small animals",
        ),
        "where": ("at night", "in the north", "by the sea", "for schools", "by hand", "with little water", "on farms"),
        "machine": ("machine", "tool", "program", "device", "small robot", "new kind of engine", "way of work"),
        "science": ("science", "field of science", "branch of science", "part of mathematics", "school subject"),
        "firm": ("firm", "shop", "factory", "small company", "group of people"),
        "name": tuple(f"{first}{second}" for first in (
            "Nor", "Vel", "Kal", "Tem", "Bri", "Sol", "Mar", "Fen", "Gal", "Pra",
        ) for second in ("vo", "dex", "mira", "lin", "tor", "sa", "nik", "bel", "gon", "phy")),
    },
    gap=" ",
)  # fmt: skip


def make_questions(seed: int = SEED) -> tuple[dict[str, Any], dict[str, Any]]:
    """Makes the questions of train and of test in SQuAD's layout, both halves of them Chinese and English.

    Returns:
        2220 questions about 740 texts for training, 240 about 80 for testing.

    Example: of `冬眠是一些动物在寒冷季节减少活动的状态。…` the question `什么是冬眠？` has the answer
    `一些动物在寒冷季节减少活动的状态`.
    """
    choice = random.Random(seed)
    splits = []
    for size, for_test in ((TRAIN_TEXTS, False), (TEST_TEXTS, True)):
        paragraphs = [
            _paragraph(choice, frames, _things(chinese, for_test), for_test)
            for frames, chinese in ((CHINESE, True), (ENGLISH, False))
            for _ in range(size)
        ]
        choice.shuffle(paragraphs)
        number = 0
        for paragraph in paragraphs:
            for question in paragraph["qas"]:
                number += 1
                question["id"] = str(number)
        splits.append({"version": "v2.0", "data": [{"title": "demo", "paragraphs": paragraphs}]})
    return splits[0], splits[1]


def make_documents() -> dict[str, str]:
    """The texts that the demo asks: name of a file to its text, with a definition a line; one of them defines `ASKED`.

    Example: `documents["technology.zh.txt"]` has the line `人工智能是研究如何让机器像人一样感知、推理和学习的学科。`
    """
    documents = {}
    for theme, concepts in THEMES.items():
        defined = [*concepts[:9], ASKED, *concepts[9:]] if theme == "technology" else concepts
        for code, frames, chinese in (("zh", CHINESE, True), ("en", ENGLISH, False)):
            lines = [_define(frames, frames.definitions[0], *_sides(concept, chinese)).text for concept in defined]
            documents[f"{theme}.{code}.txt"] = "".join(f"{line}\n" for line in lines)
    return documents


def _sides(concept: Concept, chinese: bool) -> tuple[str, str]:
    return concept[:2] if chinese else concept[2:]


def _things(chinese: bool, for_test: bool) -> list[tuple[str, str]]:
    """The things of a split, and their definitions."""
    concepts = [concept for theme in THEMES.values() for concept in theme]
    return [_sides(concept, chinese) for index, concept in enumerate(concepts) if (index % HELD_OUT == 0) == for_test]


def _paragraph(
    choice: random.Random, frames: Frames, things: Sequence[tuple[str, str]], for_test: bool
) -> dict[str, Any]:
    """A text and its questions."""
    statements: list[Statement] = []
    while not statements or not _distinct(statements):
        statements = _statements(choice, frames, things, for_test)
    missing = statements.pop()
    context = frames.gap.join(statement.text for statement in statements)
    questions = []
    for statement in choice.sample(statements, QUESTIONS):
        answered = choice.randrange(UNANSWERED) > 0
        question, answer = choice.choice((statement if answered else missing).asked)
        start = context.index(statement.text) + statement.text.rindex(answer) if answered else 0
        answers = [{"text": answer, "answer_start": start}] if answered else []
        questions.append({"id": "", "question": question, "answers": answers, "is_impossible": not answered})
    return {"context": context, "qas": questions}


def _statements(
    choice: random.Random, frames: Frames, things: Sequence[tuple[str, str]], for_test: bool
) -> list[Statement]:
    """The statements of a text, and one more, about which it says nothing."""
    count = choice.randint(MIN_STATEMENTS, MAX_STATEMENTS) + 1
    drawn = choice.sample(things, count)
    people, names = (
        choice.sample([word for index, word in enumerate(words) if (index % HELD_OUT == 0) == for_test], count)
        for words in (frames.words["person"], frames.words["name"])
    )
    statements = []
    for thing, person, name in zip(drawn, people, names, strict=True):
        if choice.randrange(10) >= DEFINITIONS_OF_TEN:
            statements.append(_tell(choice, frames, person))
        else:
            defined = thing if choice.randrange(2) else (name, _invented(choice, frames))
            statements.append(_define(frames, choice.choice(frames.definitions), *defined))
    return statements


def _invented(choice: random.Random, frames: Frames) -> str:
    """What an invented thing is."""
    frame = choice.choice(frames.invented)
    words: dict[str, str] = {}
    for name in GAP.findall(frame):
        words[name] = choice.choice([word for word in frames.words[name.rstrip("2")] if word not in words.values()])
    return frame.format(**words)


def _distinct(statements: Sequence[Statement]) -> bool:
    """Whether each question is about one statement alone."""
    questions = [question for statement in statements for question, _ in statement.asked]
    return len(set(questions)) == len(questions)


def _define(frames: Frames, frame: str, thing: str, definition: str) -> Statement:
    asked = tuple((question.format(thing=thing), definition) for question in frames.what_is)
    text = frame.format(thing=thing, definition=definition)
    return Statement(text[0].upper() + text[1:], asked)


def _tell(choice: random.Random, frames: Frames, person: str) -> Statement:
    frame, asked = choice.choice(frames.facts)
    words = {"year": str(choice.randint(1750, 2015)), "number": str(choice.randint(12, 480)), "person": person}
    for name in GAP.findall(frame):
        if name not in words:
            words[name] = choice.choice(frames.words[name])
    return Statement(
        frame.format(**words), tuple((question.format(**words), answer.format(**words)) for question, answer in asked)
    )
