"""Words of time, weather and places, for the parallel samples."""

from __future__ import annotations

from textapp.demo.samples.forms import Forms, Word, plain, tagged

# --- time ----------------------------------------------------------------------------------------------------------


def _days(tense: str, be: str, not_be: str, will: str, *lines: str) -> tuple[Word, ...]:
    """Days of one tense; `会` goes with what is still to come."""
    return tuple(
        Word(Forms(f"{word.chinese}", will=will), Forms(f"{word.english}", tense=tense, be=be, not_be=not_be))
        for word in plain(*lines)
    )


PAST_DAYS = _days(
    "past",
    "was",
    "was not",
    "",
    "昨天 yesterday, 前天 the day before yesterday, 上个星期 last week, 上个周末 last weekend",
    "上个月 last month",
)
PRESENT_DAYS = _days("present", "is", "is not", "", "今天 today, 这个星期 this week, 这几天 these days")
FUTURE_DAYS = _days(
    "future",
    "will be",
    "will not be",
    "会",
    "明天 tomorrow, 后天 the day after tomorrow, 下个星期 next week, 下个周末 next weekend, 下个月 next month",
)
DAYS = PAST_DAYS + PRESENT_DAYS * 2 + FUTURE_DAYS
WEEKDAYS = plain(
    "星期一 Monday, 星期二 Tuesday, 星期三 Wednesday, 星期四 Thursday, 星期五 Friday, 星期六 Saturday", "星期天 Sunday"
)
HABITS = plain(
    "每天早上 every morning, 每天晚上 every evening, 每天 every day, 每个周末 every weekend", "每个星期天 every Sunday"
)
SEASONS = tuple(
    Word(word.chinese, word.english, frozenset({f"{word.english}"}))
    for word in plain("春天 spring, 夏天 summer, 秋天 autumn, 冬天 winter")
)
PERIODS = tuple(
    Word(Forms(chinese), Forms(english), frozenset({tag}))
    for chinese, english, tag in (
        ("早上", "in the morning", "morning"), ("下午", "in the afternoon", "afternoon"),
        ("晚上", "in the evening", "evening"),
    )
)  # fmt: skip
_HOURS = ("一 one", "两 two", "三 three", "四 four", "五 five", "六 six", "七 seven", "八 eight", "九 nine", "十 ten")
_PERIOD_OF_HOUR = ("afternoon",) * 5 + ("morning",) + ("morning evening",) * 3 + ("evening",)
CLOCK = tuple(
    Word(Forms(chinese + ending), Forms(before + english + after), frozenset(tags.split()))
    for (chinese, english), tags in zip((hour.split() for hour in _HOURS), _PERIOD_OF_HOUR, strict=True)
    for ending, before, after in (("点", "", " o'clock"), ("点半", "half past ", ""), ("点一刻", "a quarter past ", ""))
)
MORNING_CLOCK = tuple(word for word in CLOCK if "morning" in word.tags)
EVENTS = plain(
    "会议 the meeting, 电影 the film, 音乐会 the concert, 比赛 the match, 汉语课 the Chinese lesson",
    "英语课 the English lesson, 讲座 the lecture, 晚会 the party",
)

# --- weather -------------------------------------------------------------------------------------------------------


def _weather(chinese: str, english: str, comparative: str, tags: str = "") -> Word:
    return Word(Forms(chinese), Forms(english, more=comparative), frozenset(tags.split()))


WEATHER = (
    _weather("好", "good", "better"), _weather("冷", "cold", "colder", "winter"),
    _weather("热", "hot", "hotter", "summer"), _weather("暖和", "warm", "warmer", "spring"),
    _weather("凉快", "cool", "cooler", "autumn"), _weather("潮湿", "humid", "more humid", "summer spring"),
    _weather("干燥", "dry", "drier", "autumn winter"), _weather("闷热", "muggy", "muggier", "summer"),
    _weather("舒服", "pleasant", "more pleasant", "spring autumn"),
)  # fmt: skip
TEMPERATURES = WEATHER[1:7]
FORECAST_DEGREES = plain("很 very, 非常 extremely, 特别 particularly, 比较 rather")
DEGREES = FORECAST_DEGREES + plain("真 really")
FALLING = tuple(
    Word(Forms(chinese), Forms(verb + tail, past=past + tail, ing=ing + tail))
    for chinese, verb, past, ing, tail in (
        ("下雨", "rain", "rained", "raining", ""), ("下雪", "snow", "snowed", "snowing", ""),
        ("下大雨", "rain", "rained", "raining", " heavily"),
        ("下大雪", "snow", "snowed", "snowing", " heavily"),
        ("下小雨", "rain", "rained", "raining", " lightly"),
    )
)  # fmt: skip
CONDITIONS = tagged(
    {
        "wet bad": "下雨 it rains",
        "cold bad": "下雪 it snows, 很冷 it is very cold, 刮风 it is windy",
        "bad": "天气不好 the weather is bad",
        "hot": "很热 it is very hot",
        "fine": "天气好 the weather is good, 不下雨 it does not rain",
    }
)
PLANS = tagged(
    {
        "bad hot": "待在家里 stay at home, 坐出租车 take a taxi, 去看电影 go to the cinema",
        "bad": "早点儿回家 go home early",
        "wet": "带雨伞 take an umbrella",
        "cold": "穿大衣 wear a coat",
        "fine": "去爬山 climb the mountain, 去公园 go to the park, 骑自行车 ride a bike",
        "fine hot": "去海边 go to the seaside, 去游泳 go swimming",
    }
)

# --- places --------------------------------------------------------------------------------------------------------

CITIES = plain(
    "北京 Beijing, 上海 Shanghai, 广州 Guangzhou, 成都 Chengdu, 西安 Xi'an, 杭州 Hangzhou, 南京 Nanjing",
    "哈尔滨 Harbin, 昆明 Kunming, 伦敦 London, 巴黎 Paris, 东京 Tokyo, 纽约 New York, 罗马 Rome",
)
REGIONS = plain(
    "这里 here, 那里 there, 海边 by the sea, 山上 in the mountains, 南方 in the south, 北方 in the north",
    "村里 in the village, 岛上 on the island",
) + tuple(Word(city.chinese, Forms(f"in {city.english}")) for city in CITIES[:10])
LANDMARKS = plain(
    "火车站 the railway station, 银行 the bank, 医院 the hospital, 邮局 the post office, 超市 the supermarket",
    "学校 the school, 图书馆 the library, 公园 the park, 博物馆 the museum, 电影院 the cinema",
    "饭店 the restaurant, 酒店 the hotel, 茶馆 the teahouse, 书店 the bookshop, 药店 the chemist's",
)
SHOPS = (*LANDMARKS[1:2], *LANDMARKS[3:11], *LANDMARKS[12:])
SIDES = plain("旁边 next to, 对面 opposite, 后面 behind, 前面 in front of")
DISTANCES = plain("很近 very close to, 很远 very far from, 不远 not far from, 不太近 not very close to")
TRIPS = plain("坐火车 by train, 坐飞机 by plane, 坐高铁 by high-speed train, 开车 by car")
WAYS = plain("坐地铁 by underground, 坐公共汽车 by bus, 坐出租车 by taxi, 骑自行车 by bike, 开车 by car, 走路 on foot")
VENUES = tagged(
    {
        "home": "在家 at home",
        "park": "在公园里 in the park",
        "library": "在图书馆里 in the library",
        "school": "在学校 at school",
        "river": "在河边 by the river",
        "yard": "在院子里 in the courtyard",
        "office": "在办公室里 in the office",
        "café": "在咖啡馆里 in the café",
        "kitchen": "在厨房里 in the kitchen",
    }
)
QUIET_VENUES = (VENUES[2], *VENUES[6:])
SPOTS = plain(
    "桌子上 on the table, 椅子上 on the chair, 床上 on the bed, 箱子里 in the box, 柜子里 in the cupboard",
    "门口 by the door, 窗户旁边 by the window, 沙发上 on the sofa, 车里 in the car",
)

# The gaps of frames.py that these words fill.
LISTS = {
    "day": DAYS,
    "past_day": PAST_DAYS,
    "future_day": FUTURE_DAYS,
    "present_day": PRESENT_DAYS,
    "weekday": WEEKDAYS,
    "habit": HABITS,
    "season": SEASONS,
    "period": PERIODS,
    "clock": CLOCK,
    "event": EVENTS,
    "weather": WEATHER,
    "temperature": TEMPERATURES,
    "degree": DEGREES,
    "forecast": FORECAST_DEGREES,
    "falling": FALLING,
    "condition": CONDITIONS,
    "plan": PLANS,
    "city": CITIES,
    "region": REGIONS,
    "landmark": LANDMARKS,
    "shop": SHOPS,
    "morning_clock": MORNING_CLOCK,
    "side": SIDES,
    "distance": DISTANCES,
    "trip": TRIPS,
    "way": WAYS,
    "venue": VENUES,
    "spot": SPOTS,
    "quiet_venue": QUIET_VENUES,
}
