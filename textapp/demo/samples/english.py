"""The English half of the samples."""

from __future__ import annotations

from textapp.demo.samples.words import Frame, Language, Topic, aspect

TOPICS = {
    "hotel": Topic(
        aspects=(
            aspect(
                "room, bathroom, lobby, bedroom, suite",
                "clean, spotless, bright, cosy, spacious, tidy, quiet, comfortable, inviting",
                "dirty, dusty, gloomy, cramped, shabby, noisy, stuffy, smelly, depressing",
            ),
            aspect(
                "staff, receptionist, manager, porter, housekeeper",
                "friendly, helpful, polite, attentive, welcoming, kind, professional",
                "rude, unhelpful, impolite, careless, unfriendly, arrogant, slow",
            ),
            aspect(
                "bed, mattress, pillow, sofa",
                "comfortable, soft, excellent, lovely",
                "lumpy, awful, uncomfortable, worn",
            ),
        ),
        scenes=(
            "We stayed for two nights.",
            "I was there on business.",
            "We booked it in March.",
            "It was our first visit.",
            "We came with two children.",
            "I travelled alone.",
            "We arrived late in the evening.",
            "It was a long weekend.",
        ),
    ),
    "food": Topic(
        aspects=(
            aspect(
                "soup, steak, pasta, curry, pizza, salad, dessert, fish, breakfast",
                "delicious, tasty, fresh, superb, wonderful, perfect, excellent, lovely",
                "tasteless, bland, awful, disgusting, greasy, stale, disappointing, horrible",
            ),
            aspect(
                "waiter, waitress, chef, service",
                "friendly, attentive, polite, quick, charming, helpful, professional",
                "rude, slow, careless, unfriendly, clumsy, impolite, arrogant",
            ),
            aspect(
                "coffee, tea, wine, juice",
                "wonderful, excellent, fresh, lovely, delicious",
                "awful, stale, weak, horrible, sour",
            ),
        ),
        scenes=(
            "We had lunch here on Sunday.",
            "I ordered the set menu.",
            "We were a party of six.",
            "I came here after work.",
            "A colleague told us about it.",
            "We sat by the window.",
            "It was my birthday dinner.",
            "We ordered to share.",
        ),
    ),
    "phone": Topic(
        aspects=(
            aspect(
                "screen, camera, display, speaker, keyboard, microphone",
                "sharp, excellent, superb, brilliant, impressive, reliable, clear",
                "blurry, terrible, faulty, poor, disappointing, unreliable, dull",
            ),
            aspect(
                "battery, charger, processor, software, connection",
                "fast, reliable, excellent, efficient, stable, impressive",
                "slow, unreliable, weak, faulty, unstable, poor, useless",
            ),
            aspect(
                "case, design, finish, button layout",
                "elegant, sturdy, beautiful, clever, solid",
                "ugly, flimsy, clumsy, cheap-looking, fragile",
            ),
        ),
        scenes=(
            "I bought it last month.",
            "I use it every day.",
            "It replaced my old one.",
            "I ordered it online.",
            "My sister has the same model.",
            "I chose the black version.",
            "I have had it for a year.",
            "It came with a cable.",
        ),
    ),
    "film": Topic(
        aspects=(
            aspect(
                "plot, story, script, ending, dialogue, opening",
                "gripping, clever, moving, original, funny, convincing, brilliant, touching",
                "boring, predictable, silly, dull, confusing, pointless, tedious, clumsy",
            ),
            aspect(
                "acting, lead actor, cast, director, lead actress",
                "brilliant, superb, convincing, outstanding, charming, wonderful",
                "wooden, terrible, unconvincing, awful, dull, annoying",
            ),
            aspect(
                "music, soundtrack, camera work, lighting",
                "beautiful, stunning, superb, memorable, lovely",
                "annoying, ugly, awful, irritating, dreadful",
            ),
        ),
        scenes=(
            "I saw it at the cinema.",
            "We watched it on Friday.",
            "It runs for two hours.",
            "I had read nothing about it.",
            "It is the second part.",
            "My brother picked it.",
            "We saw the late show.",
            "It is set in Paris.",
        ),
    ),
    "book": Topic(
        aspects=(
            aspect(
                "novel, first chapter, final chapter, plot, narrator, style, translation",
                "gripping, elegant, moving, funny, original, clever, thoughtful, charming",
                "boring, clumsy, tedious, confusing, predictable, dull, shallow, dry",
            ),
            aspect(
                "paper, binding, cover, print, typeface",
                "beautiful, sturdy, excellent, elegant, clear, lovely",
                "flimsy, ugly, poor, blurry, cheap-looking, faint",
            ),
        ),
        scenes=(
            "I read it on the train.",
            "It was a present.",
            "I finished it in a week.",
            "Our book club chose it.",
            "I borrowed it from a friend.",
            "It has four hundred pages.",
            "I bought the paperback.",
            "It is her third book.",
        ),
    ),
    "travel": Topic(
        aspects=(
            aspect(
                "guide, driver, crew, ticket agent, conductor",
                "friendly, helpful, polite, knowledgeable, patient, cheerful, professional",
                "rude, unhelpful, impatient, careless, grumpy, ignorant, arrogant",
            ),
            aspect(
                "flight, train, tour, transfer, ferry, bus ride",
                "smooth, pleasant, comfortable, enjoyable, relaxing, wonderful",
                "bumpy, unpleasant, stressful, exhausting, miserable, awful",
            ),
            aspect(
                "beach, view, old town, park, harbour",
                "beautiful, stunning, charming, peaceful, lovely",
                "crowded, ugly, filthy, noisy, disappointing",
            ),
        ),
        scenes=(
            "We went there in summer.",
            "It was a day trip.",
            "We left at seven.",
            "I travelled with my parents.",
            "We paid in advance.",
            "It was a group of twelve.",
            "I booked it by phone.",
            "We went twice.",
        ),
    ),
    "delivery": Topic(
        aspects=(
            aspect(
                "delivery, courier, seller, customer service, support team",
                "fast, reliable, friendly, helpful, polite, prompt, professional",
                "slow, unreliable, rude, unhelpful, careless, impolite, hopeless",
            ),
            aspect(
                "package, parcel, box, packaging, wrapping",
                "sturdy, neat, perfect, tidy, solid",
                "flimsy, messy, damaged, torn, dirty",
            ),
        ),
        scenes=(
            "I ordered on Monday.",
            "It was sent from Spain.",
            "I paid by card.",
            "It was my second order.",
            "They sent a message first.",
            "I picked it up myself.",
            "It weighed three kilos.",
            "I ordered two of them.",
        ),
    ),
}

PLAIN = (
    Frame("The {noun} was really {word}."),
    Frame("The {noun} was {word}."),
    Frame("I found the {noun} {word}."),
    Frame("What a {word} {noun}!"),
    Frame("I must say the {noun} was very {word}."),
    Frame("To me the {noun} seemed quite {word}."),
    Frame("Once again the {noun} was {word}."),
    Frame("The {noun} turned out to be {word}."),
    Frame("Everyone agreed that the {noun} was {word}."),
)

NEGATED = (
    Frame("The {noun} was not {word}.", word="good", flips=True),
    Frame("The {noun} was not {word} at all.", flips=True),
    Frame("The {noun} was anything but {word}.", flips=True),
    Frame("I would never call the {noun} {word}.", flips=True),
    Frame("Nobody could say the {noun} was {word}.", flips=True),
    Frame("The {noun} was far from {word}.", flips=True),
    Frame("I feared the {noun} would be {word}, and it was not.", word="bad", flips=True),
    Frame("I hoped the {noun} would be {word}, and it was not.", word="good", flips=True),
    Frame("The {noun} was never {word}, not even once.", flips=True),
)

CONTRASTED = (
    Frame("The {other} was {flaw}, but the {noun} was {word}."),
    Frame("The {other} was rather {flaw}. Still, the {noun} was so {word} that this decided it for me."),
    Frame("Although the {other} was {flaw}, the {noun} was {word}."),
    Frame("Even though the {other} seemed {flaw}, I found the {noun} {word}."),
    Frame("The {noun} was {word}, even if the {other} was {flaw}."),
    Frame("The {noun} was so {word} that I hardly cared about the {flaw} {other}."),
    Frame("True, the {other} was {flaw}, yet in the end the {noun} was {word}."),
)

ENGLISH = Language(TOPICS, PLAIN, NEGATED, CONTRASTED, gap=" ")
