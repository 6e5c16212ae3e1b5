"""People and what they do, for the parallel samples."""

from __future__ import annotations

from textapp.demo.samples.forms import Forms, Word, plain, tagged

# --- people --------------------------------------------------------------------------------------------------------

_FIRST = dict(present="am", past="was", form="", s="", es="", have="have", number="single")
_THIRD = dict(present="is", past="was", form="third", s="s", es="es", have="has", number="single")
_MANY = dict(present="are", past="were", form="", s="", es="", have="have", number="many")


def _people(agreement: dict[str, str], *people: tuple[str, str, str]) -> tuple[Word, ...]:
    return tuple(Word(Forms(chinese), Forms(subject, whom=whom, **agreement)) for chinese, subject, whom in people)


PRONOUNS = (
    *_people(_FIRST, ("我", "I", "me")),
    *_people(_THIRD, ("他", "he", "him"), ("她", "she", "her")),
    *_people(_MANY, ("我们", "we", "us"), ("他们", "they", "them")),
)
YOU = _people(_MANY, ("你", "you", "you"))[0]
ELDERS = _people(
    _THIRD, ("我爸爸", "my father", "my father"), ("我妈妈", "my mother", "my mother"),
    ("王先生", "Mr Wang", "Mr Wang"), ("李女士", "Ms Li", "Ms Li"),
)  # fmt: skip
FAMILY = (
    *ELDERS,
    *_people(
        _THIRD, ("我哥哥", "my older brother", "my older brother"),
        ("我妹妹", "my younger sister", "my younger sister"), ("我朋友", "my friend", "my friend"),
        ("那个学生", "that student", "that student"),
    ),
    *_people(_MANY, ("孩子们", "the children", "the children"), ("我的同学", "my classmates", "my classmates")),
)  # fmt: skip
PEOPLE = PRONOUNS * 2 + FAMILY
WORKERS = (*PRONOUNS, *FAMILY[:5], FAMILY[6])
PARENTS = PRONOUNS + ELDERS
COMPANIONS = PRONOUNS[1:3] + FAMILY
SUBJECTS_OF_QUESTIONS = (YOU, *PRONOUNS[1:], *FAMILY)
CHILDREN = _people(
    _THIRD, ("我儿子", "my son", "my son"), ("我女儿", "my daughter", "my daughter"),
    ("我弟弟", "my younger brother", "my younger brother"), ("我妹妹", "my younger sister", "my younger sister"),
    ("这个男孩", "this boy", "this boy"), ("那个女孩", "that girl", "that girl"),
)  # fmt: skip
AGES = plain(
    "五 five, 六 six, 七 seven, 八 eight, 九 nine, 十 ten, 十一 eleven, 十二 twelve, 十三 thirteen",
    "十五 fifteen, 十六 sixteen",
)
FEELINGS = plain(
    "高兴 happy, 忙 busy, 累 tired, 生气 angry, 紧张 nervous, 难过 sad, 担心 worried, 孤单 lonely",
    "着急 anxious, 激动 excited",
)
_WORKERS = {
    "hospital": plain("医生 doctor, 护士 nurse"),
    "school": plain("老师 teacher"),
    "company": plain("工程师 engineer, 司机 driver, 律师 lawyer, 会计 accountant"),
    "restaurant": plain("厨师 cook"),
    "shop": plain("售货员 shop assistant"),
    "newspaper": plain("记者 reporter"),
    "": plain("农民 farmer, 演员 actor"),
}
JOBS = tuple(
    Word(word.chinese, Forms(f"{word.english}", single=f"a {word.english}", many=f"{word.english}s"), frozenset({tag}))
    for tag, workers in _WORKERS.items()
    for word in workers
)
WORKPLACES = tagged({
    "hospital": "一家医院 in a hospital", "school": "一所学校 at a school", "company": "一家公司 for a company",
    "restaurant": "一家饭店 in a restaurant", "shop": "一家商店 in a shop", "newspaper": "一家报社 for a newspaper",
})  # fmt: skip
RELATIVES = tuple(
    Word(word.chinese, Forms(f"{word.english}", many=f"{word.english.forms['']}s" if many is None else many))
    for word, many in zip(
        plain(
            "哥哥 older brother, 弟弟 younger brother, 姐姐 older sister, 妹妹 younger sister, 儿子 son",
            "女儿 daughter, 孩子 child, 好朋友 good friend",
        ),
        (None,) * 6 + ("children", None),
        strict=True,
    )
)


def _activity(chinese: str, verb: str, tail: str, where: str, hobby: str | None = None) -> Word:
    """`verb` is `read reads read reading`; `hobby` the tail where it is liked: `books`, not `a book`."""
    forms = [f"{form} {tail}".strip() for form in verb.split()]
    liking = f"{verb.split()[3]} {tail if hobby is None else hobby}".strip()
    return Word(
        Forms(chinese),
        Forms(forms[0], third=forms[1], past=forms[2], ing=forms[3], liking=liking),
        frozenset(where.split()),
    )


_PLAY, _DO = "play plays played playing", "do does did doing"
ACTIVITIES = (
    _activity("看书", "read reads read reading", "a book", "home library school café yard park", hobby="books"),
    _activity("做饭", "cook cooks cooked cooking", "", "home kitchen"),
    _activity("跑步", "run runs ran running", "", "park river school skill noisy"),
    _activity("听音乐", "listen listens listened listening", "to music", "home park café noisy"),
    _activity("看电影", "watch watches watched watching", "a film", "home", hobby="films"),
    _activity("游泳", "swim swims swam swimming", "", "skill"),
    _activity("学中文", "learn learns learned learning", "Chinese", "home library school café"),
    _activity("学英语", "learn learns learned learning", "English", "home library school café"),
    _activity("画画", "paint paints painted painting", "pictures", "home school park river yard skill"),
    _activity("打篮球", _PLAY, "basketball", "school park skill noisy"),
    _activity("踢足球", _PLAY, "football", "school park skill noisy"),
    _activity("写信", "write writes wrote writing", "letters", "home library café office"),
    _activity("打扫房间", "clean cleans cleaned cleaning", "the room", "home"),
    _activity("洗衣服", _DO, "the laundry", "home yard"),
    _activity("喝茶", "drink drinks drank drinking", "tea", "home park office yard café"),
    _activity("散步", "take takes took taking", "a walk", "park river", hobby="walks"),
    _activity("唱歌", "sing sings sang singing", "", "home school park skill noisy"),
    _activity("跳舞", "dance dances danced dancing", "", "home school park skill noisy"),
    _activity("弹钢琴", _PLAY, "the piano", "home school skill"),
    _activity("骑自行车", "ride rides rode riding", "a bike", "park skill noisy"),
    _activity("拍照", "take takes took taking", "photos", "park river yard"),
    _activity("下棋", _PLAY, "chess", "home park yard café skill"),
    _activity("写作业", _DO, "homework", "home library school"),
    _activity("工作", "work works worked working", "", "home office café"),
    _activity("休息", "rest rests rested resting", "", "home office park yard"),
)
SKILLS = tuple(word for word in ACTIVITIES if "skill" in word.tags)
NOISY = tuple(word for word in ACTIVITIES if "noisy" in word.tags)
ROUTINES = tuple(
    Word(Forms(chinese), Forms(base, third=third), frozenset(tags.split()))
    for chinese, base, third, tags in (
        ("起床", "get up", "gets up", "morning"), ("吃早饭", "have breakfast", "has breakfast", "morning"),
        ("上班", "start work", "starts work", "morning"), ("下班", "finish work", "finishes work", "afternoon evening"),
        ("吃晚饭", "have dinner", "has dinner", "evening"), ("睡觉", "go to bed", "goes to bed", "evening"),
        ("回家", "go home", "goes home", "afternoon evening"),
        ("出门", "leave the house", "leaves the house", "morning"),
        ("锻炼身体", "exercise", "exercises", "morning afternoon evening"),
    )
)  # fmt: skip

# The gaps of frames.py that these words fill.
LISTS = {
    "who": PEOPLE,
    "whom": PEOPLE,
    "asked": SUBJECTS_OF_QUESTIONS,
    "child": CHILDREN,
    "age": AGES,
    "feeling": FEELINGS,
    "job": JOBS,
    "workplace": WORKPLACES,
    "relative": RELATIVES,
    "activity": ACTIVITIES,
    "skill": SKILLS,
    "routine": ROUTINES,
    "adult": ELDERS,
    "worker": WORKERS,
    "parent": PARENTS,
    "companion": COMPANIONS,
    "noisy": NOISY,
}
