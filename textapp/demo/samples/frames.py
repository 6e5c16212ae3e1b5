"""The sentences of the parallel samples, in Chinese and in English, with gaps for the words of lexicon*.py.

A gap names a list of words, `{city}`; a 2 makes it another word of the same list, `{city2}`. After a colon stands
the form, which may depend on another gap: `{activity:{who:form}}` is `reads a book` after `he`, else `read a book`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from textapp.demo.samples import lexicon, lexicon_people, lexicon_things
from textapp.demo.samples.forms import Word

LISTS: dict[str, tuple[Word, ...]] = {**lexicon.LISTS, **lexicon_people.LISTS, **lexicon_things.LISTS}
GAP = re.compile(r"\{(\w+)")


class Frame(NamedTuple):
    """A sentence in both languages.

    Attributes:
        chinese: with gaps.
        english: with the same gaps.
        fits: two gaps whose words must share a tag, divided by a space: a venue and what is done there.
    """

    chinese: str
    english: str
    fits: str = ""

    @property
    def gaps(self) -> list[str]:
        """The names of the gaps, each once, in the order of the English sentence."""
        return list(dict.fromkeys(GAP.findall(self.english)))


WEATHER = (
    Frame("{past_day}天气{degree}{weather}。", "The weather was {degree} {weather} {past_day}."),
    Frame("{present_day}天气{degree}{weather}。", "The weather is {degree} {weather} {present_day}."),
    Frame("{future_day}天气会{forecast}{weather}。", "The weather will be {forecast} {weather} {future_day}."),
    Frame("{day}天气不{day:will}太{weather}。", "The weather {day:not_be} very {weather} {day}."),
    Frame("{day}天气{day:will}不错。", "The weather {day:be} nice {day}."),
    Frame("{region}的天气{degree}{weather}。", "The weather {region} is {degree} {weather}."),
    Frame("{region}的天气不太{weather}。", "The weather {region} is not very {weather}."),
    Frame("{past_day}{region}的天气{degree}{weather}。", "The weather {region} was {degree} {weather} {past_day}."),
    Frame("{future_day}{city}会很{temperature}。", "It will be very {temperature} in {city} {future_day}."),
    Frame("{past_day}{city}{degree}{temperature}。", "It was {degree} {temperature} in {city} {past_day}."),
    Frame("今天{city}{degree}{temperature}。", "It is {degree} {temperature} in {city} today."),
    Frame(
        "{city}的{season}{degree}{temperature}。", "{season} in {city} is {degree} {temperature}.", "season temperature"
    ),
    Frame("{city}比{city2}{temperature}。", "{city} is {temperature:more} than {city2}."),
    Frame("{past_day}天气怎么样？", "How was the weather {past_day}?"),
    Frame("今天天气怎么样？", "How is the weather today?"),
    Frame("{future_day}天气会怎么样？", "How will the weather be {future_day}?"),
    Frame("{city}的天气怎么样？", "How is the weather in {city}?"),
    Frame("{city}的{season}{temperature}吗？", "Is {season} in {city} {temperature}?", "season temperature"),
    Frame("{city}{past_day}{falling}了。", "It {falling:past} in {city} {past_day}."),
    Frame("{city}{future_day}会{falling}。", "It will {falling} in {city} {future_day}."),
    Frame("{city}现在正在{falling}。", "It is {falling:ing} in {city} now."),
    Frame("{city}{season}经常下雨。", "It often rains in {city} in {season}."),
    Frame("{city}冬天经常{falling}吗？", "Does it often {falling} in {city} in winter?"),
    Frame("如果明天{condition}，{who}就{plan}。", "If {condition} tomorrow, {who} will {plan}.", "condition plan"),
    Frame(
        "因为{past_day}{falling}，所以{who}没有去{city}。",
        "Because it {falling:past} {past_day}, {who} did not go to {city}.",
    ),
    Frame("外面在{falling}，请带上你的{outdoor}。", "It is {falling:ing} outside. Please take your {outdoor}."),
)

TIME = (
    Frame("现在是{period}{clock}。", "It is {clock} {period}.", "period clock"),
    Frame("{event}{period}{clock}开始。", "{event} begins at {clock} {period}.", "period clock"),
    Frame("{event}{weekday}{period}{clock}开始。", "{event} begins at {clock} {period} on {weekday}.", "period clock"),
    Frame("{event}几点开始？", "What time does {event} begin?"),
    Frame("{event}是{weekday}吗？", "Is {event} on {weekday}?"),
    Frame("{shop}早上{morning_clock}开门。", "{shop} opens at {morning_clock} in the morning."),
    Frame("{shop}{weekday}不开门。", "{shop} does not open on {weekday}."),
    Frame(
        "{worker}{period}{clock}{routine}。",
        "{worker} {routine:{worker:form}} at {clock} {period}.",
        "period clock routine",
    ),
    Frame("{asked}几点{routine}？", "What time do{asked:es} {asked} {routine}?"),
    Frame(
        "{who}{weekday}{period}{clock}去{city}。",
        "{who} {who:present} going to {city} at {clock} {period} on {weekday}.",
        "period clock",
    ),
)

PLACES = (
    Frame("{who}{future_day}要去{city}。", "{who} {who:present} going to {city} {future_day}."),
    Frame("{who}{past_day}去了{city}。", "{who} went to {city} {past_day}."),
    Frame("{who}住在{city}。", "{who} live{who:s} in {city}."),
    Frame("{who}以前住在{city}，现在住在{city2}。", "{who} used to live in {city} and now live{who:s} in {city2}."),
    Frame("{who}很喜欢{city}。", "{who} like{who:s} {city} very much."),
    Frame("{who}喜欢{city}，不喜欢{city2}。", "{who} like{who:s} {city} but do{who:es} not like {city2}."),
    Frame("{who}是从{city}来的。", "{who} come{who:s} from {city}."),
    Frame("{who}{trip}去{city}。", "{who} {who:present} going to {city} {trip}."),
    Frame("{who}每天{way}去{landmark}。", "{who} go{who:es} to {landmark} {way} every day."),
    Frame("{asked}什么时候去{city}？", "When {asked:present} {asked} going to {city}?"),
    Frame("{asked}为什么喜欢{city}？", "Why do{asked:es} {asked} like {city}?"),
    Frame("{asked}去过{city}吗？", "{asked:have} {asked} ever been to {city}?"),
    Frame("从{city}到{city2}有多远？", "How far is it from {city} to {city2}?"),
    Frame("从{landmark}到{landmark2}要多长时间？", "How long does it take from {landmark} to {landmark2}?"),
    Frame("{landmark}在哪儿？", "Where is {landmark}?"),
    Frame("请问，去{landmark}怎么走？", "Excuse me, how do I get to {landmark}?"),
    Frame("{landmark}在{landmark2}{side}。", "{landmark} is {side} {landmark2}."),
    Frame("{landmark}离{landmark2}{distance}。", "{landmark} is {distance} {landmark2}."),
    Frame("请在{landmark}{side}等{whom}。", "Please wait for {whom:whom} {side} {landmark}."),
    Frame("请带{whom}去{landmark}。", "Please take {whom:whom} to {landmark}."),
)

PEOPLE = (
    Frame("{who}现在很{feeling}。", "{who} {who:present} very {feeling} now."),
    Frame("{past_day}{who}非常{feeling}。", "{who} {who:past} extremely {feeling} {past_day}."),
    Frame("{future_day}{who}会很{feeling}。", "{who} will be very {feeling} {future_day}."),
    Frame("{who}一点儿也不{feeling}。", "{who} {who:present} not {feeling} at all."),
    Frame("{asked}为什么这么{feeling}？", "Why {asked:present} {asked} so {feeling}?"),
    Frame("{worker}是{job}。", "{worker} {worker:present} {job:{worker:number}}."),
    Frame("{adult}是{job}，在{workplace}工作。", "{adult} is a {job} and works {workplace}.", "job workplace"),
    Frame("{worker}以前是{job}。", "{worker} used to be {job:{worker:number}}."),
    Frame("{child}今年{age}岁。", "{child} is {age} years old."),
    Frame("{child}想当{job}。", "{child} wants to become {job:single}."),
    Frame("{parent}有{several}个{relative}。", "{parent} {parent:have} {several} {relative:many}."),
    Frame("{who}正在{activity}。", "{who} {who:present} {activity:ing}."),
    Frame("{who}正{venue}{activity}。", "{who} {who:present} {activity:ing} {venue}.", "activity venue"),
    Frame("{who}{habit}都{venue}{activity}。", "{who} {activity:{who:form}} {venue} {habit}.", "activity venue"),
    Frame("{who}{habit}都{activity}。", "{who} {activity:{who:form}} {habit}."),
    Frame("{who}很喜欢{activity}。", "{who} like{who:s} {activity:liking} very much."),
    Frame("{who}不喜欢{activity}。", "{who} do{who:es} not like {activity:liking}."),
    Frame("{who}{past_day}{activity}了。", "{who} {activity:past} {past_day}."),
    Frame("{who}{past_day}没有{activity}。", "{who} did not {activity} {past_day}."),
    Frame("{who}{future_day}想{activity}。", "{who} want{who:s} to {activity} {future_day}."),
    Frame("{who}想和{companion}一起{activity}。", "{who} want{who:s} to {activity} with {companion:whom}."),
    Frame("{asked}会{skill}吗？", "Can {asked} {skill}?"),
    Frame("{asked}喜欢{activity}吗？", "Do{asked:es} {asked} like {activity:liking}?"),
    Frame("谁{future_day}想{activity}？", "Who wants to {activity} {future_day}?"),
    Frame("请不要{quiet_venue}{noisy}。", "Please do not {noisy} {quiet_venue}."),
)

FOOD = (
    Frame("{who}想{food:eat}{food}。", "{who} want{who:s} to {food:eat} {food}."),
    Frame("请给{whom}{number}{food:measure}{food}。", "Please give {whom:whom} {number} {food:{number:form}}."),
    Frame("{who}想要{number}{food:measure}{food}。", "{who} would like {number} {food:{number:form}}."),
    Frame(
        "{who}{past_day}{food:eat}了{number}{food:measure}{food}。",
        "{who} {food:ate} {number} {food:{number:form}} {past_day}.",
    ),
    Frame("这{food:measure}{food}{degree}{taste}。", "This {food:one} is {degree} {taste}.", "food taste"),
    Frame("这{food:measure}{food}太{fault}了。", "This {food:one} is too {fault}.", "food fault"),
    Frame(
        "{asked}觉得这{food:measure}{food}{taste}吗？",
        "Do{asked:es} {asked} find this {food:one} {taste}?",
        "food taste",
    ),
    Frame(
        "{who}喜欢{food:eat}{food}，不喜欢{food2:eat}{food2}。",
        "{who} like{who:s} {food:eating} {food} but do{who:es} not like {food2:eating} {food2}.",
    ),
    Frame("你们有{food}吗？", "Do you have {food}?"),
    Frame("{asked}每天都{food:eat}{food}吗？", "Do{asked:es} {asked} {food:eat} {food} every day?"),
    Frame("{number}{food:measure}{food}多少钱？", "How much {number:be} {number} {food:{number:form}}?"),
    Frame(
        "{kitchen}有{number}{food:measure}{food}。",
        "There {number:be} {number} {food:{number:form}} {kitchen}.",
        "food kitchen",
    ),
    Frame("{kitchen}没有{food}了。", "There {food:be} no more {food} {kitchen}.", "food kitchen"),
    Frame(
        "{who}早上{food:eat}{food}，晚上{food2:eat}{food2}。",
        "{who} {who:have} {food} in the morning and {food2} in the evening.",
    ),
)

THINGS = (
    Frame("{who}有{number}{thing:measure}{thing}。", "{who} {who:have} {number} {thing:{number:form}}."),
    Frame("{who}没有{thing}。", "{who} do{who:es} not have {thing:some}."),
    Frame(
        "{who}{past_day}买了{number}{thing:measure}{thing}。", "{who} bought {number} {thing:{number:form}} {past_day}."
    ),
    Frame(
        "{who}买了{number}{coloured:measure}{colour}的{coloured}。",
        "{who} bought {number} {colour} {coloured:{number:form}}.",
    ),
    Frame("这{thing:measure}{thing}是{owner}的。", "This {thing:one} is {owner}."),
    Frame("那{thing:measure}{thing}{degree}{look}。", "That {thing:one} is {degree} {look}.", "thing look"),
    Frame("这{thing:measure}{thing}太{look}了。", "This {thing:one} is too {look}.", "thing look"),
    Frame("{whose}{small}在哪儿？", "Where {small:be} {whose} {small}?"),
    Frame("{whose}{small}在{spot}。", "{whose} {small} {small:be} {spot}."),
    Frame("{spot}有{number}{small:measure}{small}。", "There {number:be} {number} {small:{number:form}} {spot}."),
    Frame("请把{whose}{small}放在{spot}。", "Please put {whose} {small} {spot}."),
    Frame("请把这{small:measure}{small}给{whom}。", "Please give this {small:one} to {whom:whom}."),
    Frame("{who}找不到{whose}{small}了。", "{who} cannot find {whose} {small}."),
    Frame("你能帮我找{whose}{small}吗？", "Can you help me find {whose} {small}?"),
    Frame("这{thing:measure}{thing}多少钱？", "How much is this {thing:one}?"),
    Frame(
        "{who}想买{number}{coloured:measure}{colour}的{coloured}。",
        "{who} want{who:s} to buy {number} {colour} {coloured:{number:form}}.",
    ),
)

TOPICS = {"weather": WEATHER, "time": TIME, "places": PLACES, "people": PEOPLE, "food": FOOD, "things": THINGS}
