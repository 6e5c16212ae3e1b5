"""Food and things with their measure words, for the parallel samples."""

from __future__ import annotations

from textapp.demo.samples.forms import Forms, Word, plain, tagged

# --- food and things -----------------------------------------------------------------------------------------------

NUMBERS = tuple(
    Word(Forms(chinese), Forms(english, form=form, be=be))
    for chinese, english, form, be in (
        ("一", "a", "one", "is"), ("两", "two", "many", "are"), ("三", "three", "many", "are"),
        ("四", "four", "many", "are"), ("五", "five", "many", "are"), ("六", "six", "many", "are"),
    )
)  # fmt: skip
SEVERAL = NUMBERS[1:]


def _food(chinese: str, english: str, measure: str, one: str, tags: str) -> Word:
    """`one` is the measure in English, `bowl of`, or empty for what is counted as it is."""
    drink = "drink" in tags
    unit, of = (one.removesuffix(" of"), f" of {english}") if one else (english.removesuffix("s"), "")
    return Word(
        Forms(chinese, measure=measure, eat="喝" if drink else "吃"),
        Forms(
            english,
            be="are" if english.endswith("s") else "is",
            one=unit + of,
            many=_many(unit) + of,
            eat="drink" if drink else "eat",
            eating="drinking" if drink else "eating",
            ate="drank" if drink else "ate",
        ),
        frozenset(tags.split()),
    )


def _many(noun: str) -> str:
    return noun + ("es" if noun.endswith(("s", "sh", "ch", "x")) else "s")


FOOD = (
    _food("面条", "noodles", "碗", "bowl of", "food hot spicy salty table"),
    _food("米饭", "rice", "碗", "bowl of", "food hot table"),
    _food("饺子", "dumplings", "盘", "plate of", "food hot salty fridge table"),
    _food("豆腐", "tofu", "盘", "plate of", "food spicy salty fresh fridge table"),
    _food("青菜", "vegetables", "盘", "plate of", "food salty fresh fridge table"),
    _food("牛肉", "beef", "盘", "plate of", "food spicy salty fresh fridge table"),
    _food("鸡汤", "chicken soup", "碗", "bowl of", "drink hot salty table"),
    _food("茶", "tea", "杯", "cup of", "drink hot table"),
    _food("咖啡", "coffee", "杯", "cup of", "drink hot sweet table"),
    _food("牛奶", "milk", "杯", "glass of", "drink hot sweet fresh fridge table"),
    _food("果汁", "juice", "杯", "glass of", "drink sweet fresh fridge table"),
    _food("水", "water", "瓶", "bottle of", "drink fridge table"),
    _food("蛋糕", "cake", "块", "piece of", "food sweet fresh fridge table"),
    _food("面包", "bread", "片", "slice of", "food fresh table"),
    _food("苹果", "apples", "个", "", "food sweet fresh fridge table"),
    _food("鸡蛋", "eggs", "个", "", "food fresh fridge table"),
    _food("橘子", "oranges", "个", "", "food sweet fresh fridge table"),
    _food("包子", "steamed buns", "个", "", "food hot salty fresh table"),
    _food("西瓜", "watermelon", "个", "", "food sweet fresh fridge table"),
)
TASTES = tagged(
    {
        "food": "好吃 delicious",
        "drink": "好喝 delicious",
        "sweet": "甜 sweet",
        "salty": "咸 salty",
        "spicy": "辣 spicy",
        "hot": "烫 hot",
        "fresh": "新鲜 fresh",
    }
)
FAULTS = TASTES[2:6]
KITCHEN = tagged(
    {
        "table": "桌子上 on the table, 厨房里 in the kitchen",
        "fridge": "冰箱里 in the fridge",
    }
)


def _thing(chinese: str, english: str, measure: str, tags: str, many: str | None = None) -> Word:
    """`many` where it is not regular. Tags: what may be said of it, and whether it can be carried (`small`)."""
    be = "are" if "pair" in tags else "is"
    one = f"pair of {english}" if "pair" in tags else english
    plural = f"pairs of {english}" if "pair" in tags else many or _many(english)
    some = english if "pair" in tags else f"a {english}"
    return Word(
        Forms(chinese, measure=measure),
        Forms(english, one=one, many=plural, be=be, some=some),
        frozenset(tags.split()),
    )


THINGS = (
    _thing("书", "book", "本", "small price look size give"),
    _thing("雨伞", "umbrella", "把", "small price look size colour give outdoor"),
    _thing("椅子", "chair", "把", "price look size colour"),
    _thing("自行车", "bike", "辆", "price look size colour"),
    _thing("衬衫", "shirt", "件", "small price look size colour give"),
    _thing("大衣", "coat", "件", "small price look size colour give outdoor"),
    _thing("裤子", "trousers", "条", "small pair price look size give"),
    _thing("鞋", "shoes", "双", "small pair price look size give"),
    _thing("手套", "gloves", "副", "small pair price look size give outdoor"),
    _thing("猫", "cat", "只", "look size animal"),
    _thing("狗", "dog", "只", "look size animal"),
    _thing("照片", "photo", "张", "small look size give", many="photos"),
    _thing("信", "letter", "封", "small give"),
    _thing("铅笔", "pencil", "支", "small price colour give"),
    _thing("电脑", "computer", "台", "small price look size"),
    _thing("手机", "phone", "部", "small price look size colour give"),
    _thing("钥匙", "key", "把", "small give"),
    _thing("帽子", "hat", "顶", "small price look size colour give outdoor"),
    _thing("地图", "map", "张", "small price size give"),
    _thing("杯子", "cup", "个", "small price look size colour give"),
    _thing("书包", "schoolbag", "个", "small price look size colour give"),
    _thing("词典", "dictionary", "本", "small price size give", many="dictionaries"),
)
OUTDOOR = tuple(word for word in THINGS if "outdoor" in word.tags)
SMALL = tuple(word for word in THINGS if "small" in word.tags)
COLOURED = tuple(word for word in THINGS if "colour" in word.tags)
COLOURS = plain("红色 red, 蓝色 blue, 绿色 green, 白色 white, 黑色 black, 黄色 yellow, 灰色 grey")
LOOKS = tagged(
    {
        "size": "大 big, 小 small",
        "look": "漂亮 beautiful",
        "price": "贵 expensive, 便宜 cheap",
        "animal": "可爱 lovely",
    }
)
OWNERS = tuple(
    Word(Forms(chinese), Forms(english))
    for chinese, english in (
        ("我", "mine"), ("你", "yours"), ("他", "his"), ("她", "hers"), ("我们", "ours"), ("我爸爸", "my father's"),
        ("我妹妹", "my younger sister's"), ("我朋友", "my friend's"), ("李女士", "Ms Li's"),
    )
)  # fmt: skip
POSSESSIVES = plain("我的 my, 你的 your, 他的 his, 她的 her, 我们的 our, 你们的 your")

# The gaps of frames.py that these words fill.
LISTS = {
    "number": NUMBERS,
    "several": SEVERAL,
    "food": FOOD,
    "taste": TASTES,
    "fault": FAULTS,
    "kitchen": KITCHEN,
    "thing": THINGS,
    "small": SMALL,
    "coloured": COLOURED,
    "colour": COLOURS,
    "look": LOOKS,
    "owner": OWNERS,
    "whose": POSSESSIVES,
    "outdoor": OUTDOOR,
}
