"""Language codes: one form for each language, the codes that there are, and the script of a language."""

from __future__ import annotations

import difflib
import re

LATIN = "latin"
# Languages whose script is not Latin, of those that `text/language.py` can tell.
SCRIPTS = {
    **dict.fromkeys(("zh", "yue", "wuu", "lzh", "gan", "hak"), "han"),
    "ja": "kana", "ko": "hangul", "th": "thai", "el": "greek",
    **dict.fromkeys(("he", "yi"), "hebrew"),
    **dict.fromkeys(("ru", "uk", "bg", "sr", "be", "mk", "kk", "ky", "tg", "mn", "tt", "ba", "cv", "os"), "cyrillic"),
    **dict.fromkeys(("ar", "fa", "ur", "ps", "sd", "ug", "ckb", "arz", "ary", "prs"), "arabic"),
    **dict.fromkeys(("hi", "mr", "ne", "sa", "bho", "mai"), "devanagari"),
    **dict.fromkeys(("bo", "dz"), "tibetan"), **dict.fromkeys(("bn", "as"), "bengali"),
    **dict.fromkeys(("am", "ti"), "ethiopic"),
    "lo": "lao", "my": "myanmar", "km": "khmer", "pa": "gurmukhi", "gu": "gujarati", "or": "oriya", "ta": "tamil",
    "te": "telugu", "kn": "kannada", "ml": "malayalam", "si": "sinhala", "ka": "georgian", "hy": "armenian",
}  # fmt: skip
# Script subtags of BCP 47.
_SUBTAGS = {
    "hans": "han", "hant": "han", "hani": "han", "jpan": "kana", "kore": "hangul", "hang": "hangul", "thai": "thai",
    "grek": "greek", "hebr": "hebrew", "cyrl": "cyrillic", "arab": "arabic", "deva": "devanagari", "latn": LATIN,
    "laoo": "lao", "tibt": "tibetan", "mymr": "myanmar", "khmr": "khmer", "beng": "bengali", "guru": "gurmukhi",
    "gujr": "gujarati", "orya": "oriya", "taml": "tamil", "telu": "telugu", "knda": "kannada", "mlym": "malayalam",
    "sinh": "sinhala", "geor": "georgian", "armn": "armenian", "ethi": "ethiopic",
}  # fmt: skip
_WITHOUT_SPACES = ("lo", "km", "my", "bo", "dz")  # besides those in Han, kana and Thai

# ISO 639-1, with the codes of ISO 639-2 and -3, and the names in English.
_TABLE = """
    aa aar Afar; ab abk Abkhazian; ae ave Avestan; af afr Afrikaans; ak aka Akan; am amh Amharic; an arg Aragonese;
    ar ara Arabic; as asm Assamese; av ava Avaric; ay aym Aymara; az aze Azerbaijani; ba bak Bashkir;
    be bel Belarusian; bg bul Bulgarian; bi bis Bislama; bm bam Bambara; bn ben Bengali; bo bod/tib Tibetan;
    br bre Breton; bs bos Bosnian; ca cat Catalan; ce che Chechen; ch cha Chamorro; co cos Corsican; cr cre Cree;
    cs ces/cze Czech; cu chu Church Slavic; cv chv Chuvash; cy cym/wel Welsh; da dan Danish; de deu/ger German;
    dv div Divehi; dz dzo Dzongkha; ee ewe Ewe; el ell/gre Greek; en eng English; eo epo Esperanto; es spa Spanish;
    et est Estonian; eu eus/baq Basque; fa fas/per Persian; ff ful Fulah; fi fin Finnish; fj fij Fijian;
    fo fao Faroese; fr fra/fre French; fy fry Western Frisian; ga gle Irish; gd gla Gaelic; gl glg Galician;
    gn grn Guarani; gu guj Gujarati; gv glv Manx; ha hau Hausa; he heb Hebrew; hi hin Hindi; ho hmo Hiri Motu;
    hr hrv Croatian; ht hat Haitian; hu hun Hungarian; hy hye/arm Armenian; hz her Herero; ia ina Interlingua;
    id ind Indonesian; ie ile Interlingue; ig ibo Igbo; ii iii Sichuan Yi; ik ipk Inupiaq; io ido Ido;
    is isl/ice Icelandic; it ita Italian; iu iku Inuktitut; ja jpn Japanese; jv jav Javanese; ka kat/geo Georgian;
    kg kon Kongo; ki kik Kikuyu; kj kua Kuanyama; kk kaz Kazakh; kl kal Kalaallisut; km khm Central Khmer;
    kn kan Kannada; ko kor Korean; kr kau Kanuri; ks kas Kashmiri; ku kur Kurdish; kv kom Komi; kw cor Cornish;
    ky kir Kirghiz; la lat Latin; lb ltz Luxembourgish; lg lug Ganda; li lim Limburgan; ln lin Lingala; lo lao Lao;
    lt lit Lithuanian; lu lub Luba-Katanga; lv lav Latvian; mg mlg Malagasy; mh mah Marshallese; mi mri/mao Maori;
    mk mkd/mac Macedonian; ml mal Malayalam; mn mon Mongolian; mr mar Marathi; ms msa/may Malay; mt mlt Maltese;
    my mya/bur Burmese; na nau Nauru; nb nob Bokmål; nd nde Ndebele; ne nep Nepali; ng ndo Ndonga; nl nld/dut Dutch;
    nn nno Norwegian Nynorsk; no nor Norwegian; nr nbl Ndebele; nv nav Navajo; ny nya Chichewa; oc oci Occitan;
    oj oji Ojibwa; om orm Oromo; or ori Oriya; os oss Ossetian; pa pan Panjabi; pi pli Pali; pl pol Polish;
    ps pus Pushto; pt por Portuguese; qu que Quechua; rm roh Romansh; rn run Rundi; ro ron/rum Romanian;
    ru rus Russian; rw kin Kinyarwanda; sa san Sanskrit; sc srd Sardinian; sd snd Sindhi; se sme Northern Sami;
    sg sag Sango; si sin Sinhala; sk slk/slo Slovak; sl slv Slovenian; sm smo Samoan; sn sna Shona; so som Somali;
    sq sqi/alb Albanian; sr srp Serbian; ss ssw Swati; st sot Sotho; su sun Sundanese; sv swe Swedish;
    sw swa Swahili; ta tam Tamil; te tel Telugu; tg tgk Tajik; th tha Thai; ti tir Tigrinya; tk tuk Turkmen;
    tl tgl Tagalog; tn tsn Tswana; to ton Tonga; tr tur Turkish; ts tso Tsonga; tt tat Tatar; tw twi Twi;
    ty tah Tahitian; ug uig Uighur; uk ukr Ukrainian; ur urd Urdu; uz uzb Uzbek; ve ven Venda; vi vie Vietnamese;
    vo vol Volapük; wa wln Walloon; wo wol Wolof; xh xho Xhosa; yi yid Yiddish; yo yor Yoruba; za zha Zhuang;
    zh zho/chi Chinese; zu zul Zulu
"""
# Codes that mean the same: the standard variety of a language, and codes that were replaced.
_SAME = {
    "cmn": "zh", "arb": "ar", "pes": "fa", "npi": "ne", "zsm": "ms", "swh": "sw", "ekk": "et", "lvs": "lv", "als": "sq",
    "khk": "mn", "uzn": "uz", "azj": "az", "ory": "or", "plt": "mg", "pbt": "ps", "ydd": "yi", "gaz": "om", "fuv": "ff",
    "kmr": "ku", "quy": "qu", "ayr": "ay", "iw": "he", "in": "id", "ji": "yi", "mo": "ro", "jw": "jv", "sh": "sr",
}  # fmt: skip
# What else people write: codes of countries, abbreviations, and languages by their own names.
_MEANT = {
    "cn": "zh", "jp": "ja", "cz": "cs", "gr": "el", "ua": "uk", "dk": "da", "vn": "vi", "kp": "ko", "rs": "sr",
    "by": "be", "kz": "kk", "ir": "fa", "il": "he", "ge": "ka", "ph": "tl", "us": "en", "gb": "en", "at": "de",
    "mx": "es", "hk": "zh", "sp": "es", "po": "pl", "chs": "zh", "jap": "ja", "zhs": "zh", "zht": "zh",
    "deutsch": "de", "español": "es", "espanol": "es", "castellano": "es", "français": "fr", "francais": "fr",
    "italiano": "it", "português": "pt", "portugues": "pt", "nederlands": "nl", "polski": "pl", "svenska": "sv",
    "dansk": "da", "norsk": "no", "suomi": "fi", "magyar": "hu", "čeština": "cs", "română": "ro", "türkçe": "tr",
    "русский": "ru", "українська": "uk", "български": "bg", "ελληνικά": "el", "עברית": "he", "العربية": "ar",
    "فارسی": "fa", "हिन्दी": "hi", "हिंदी": "hi", "ไทย": "th", "tiếng việt": "vi", "한국어": "ko", "日本語": "ja",
    "中文": "zh", "汉语": "zh", "英文": "en", "英语": "en", "mandarin": "zh", "farsi": "fa", "castilian": "es",
    "englisch": "en", "anglais": "en", "inglés": "en", "inglese": "en", "영어": "en", "英語": "en",
    "chinesisch": "zh", "chinois": "zh", "chino": "zh", "中国語": "zh", "allemand": "de", "alemán": "de", "德语": "de",
    "französisch": "fr", "法语": "fr", "spanisch": "es", "espagnol": "es", "西班牙语": "es", "日语": "ja", "韩语": "ko",
    "俄语": "ru",
    "khmer": "km", "punjabi": "pa", "pashto": "ps", "kyrgyz": "ky", "flemish": "nl", "myanmar": "my",
    "cantonese": "yue", "filipino": "fil", "frisian": "fy", "uyghur": "ug",
}  # fmt: skip
_ROWS = [row.split(maxsplit=2) for row in _TABLE.replace("\n", " ").split(";")]
_TWO_LETTERS = {code: two for two, codes, _ in _ROWS for code in codes.split("/")} | _SAME
_NAMES = {name.lower(): two for two, _, name in _ROWS} | _MEANT
_CODES = frozenset({two for two, _, _ in _ROWS} | _TWO_LETTERS.keys())
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")  # the form of a tag of BCP 47, for languages with a code


def normalized(language: str) -> str:
    """The language of a BCP 47 tag, without script and region, as a two-letter code if there is one.

    Example: `zh_CN`, `ZH`, `zh-Hans-CN`, `cmn` and `zho_Hans` are all `zh`; `pt-BR` is `pt`; `yue` is `yue`.
    """
    code = _subtags(language)[0]
    return _TWO_LETTERS.get(code, code)


def is_language(language: str) -> bool:
    """Whether a BCP 47 tag begins with a language of ISO 639: `en_UK` and `ceb` do, `cn` and `english` do not.

    The other subtags need the form of subtags, no more.
    """
    if not _TAG.fullmatch(language.strip()):
        return False
    code = _subtags(language)[0]
    if code in _CODES:
        return True
    if len(code) != 3:
        return False
    import langcodes  # for the 8,000 languages without a code of two letters, which few need

    return langcodes.tag_is_valid(code)


def language_of(name: str) -> str:
    """The language that a file names by a code or in English, as `normalized` has it; empty if there is none.

    `any` and `all`, which are codes of small languages too, are none: test sets have them for no language.

    Example: `en-US`, `English` and `eng` are `en`; `any`, `*all*` and `none` are empty.
    """
    word = name.strip().lower()
    if word in ("any", "all", "und", "mul", "zxx"):
        return ""
    return normalized(word) if is_language(word) else _NAMES.get(word, "")


def named_language(name: str) -> str | None:
    """The code of a language that is given as the name of a column: by its name, or a code as codes are written.

    Example: `Chinese`, `中文`, `zh`, `ZH` and `zh-CN` give `zh`; `Hi`, `the` and `Chinese tea` give None.
    """
    whole = name.strip()
    named = _NAMES.get(whole.lower())
    if named is not None and (len(whole) > 3 or not whole.isascii()):
        return named
    code, *subtags = re.split("[-_]", whole) if _TAG.fullmatch(whole) else [""]
    written = code.islower() or (code.isupper() and len(code) == 2)
    known = written and code.lower() in _CODES and all(len(subtag) in (2, 4) for subtag in subtags)
    return normalized(whole) if known else None


def nearest_language(language: str) -> str | None:
    """The code of the language that is probably meant: `cn` gives `zh`, `Englsh` gives `en`; None if none is near."""
    whole = language.strip().lower()[:100]
    words = [word for word in re.split(r"[\W_]+", whole) if word]
    for word in (whole, *words):
        if word in _NAMES or word in _CODES:
            return _NAMES.get(word) or _TWO_LETTERS.get(word, word)
    if not words:
        return None
    long = [name for name in _NAMES if len(name) > 3]
    known, cutoff = (long, 0.7) if len(words[0]) > 3 else (sorted(_CODES), 0.5)
    near = difflib.get_close_matches(words[0], known, n=1, cutoff=cutoff)
    return (_NAMES.get(near[0]) or _TWO_LETTERS.get(near[0], near[0])) if near else None


def script_of(language: str) -> str:
    """The script of a language: `script_of("zh-CN")` is `han`, that of `sr-Latn` is `latin`.

    Languages that are not listed are `latin`.
    """
    tagged = [_SUBTAGS[subtag] for subtag in _subtags(language)[1:2] if subtag in _SUBTAGS]
    return tagged[0] if tagged else SCRIPTS.get(normalized(language), LATIN)


def without_spaces(language: str) -> bool:
    """Whether words are not separated by spaces, as in Chinese, Japanese, Thai and Khmer."""
    return script_of(language) in ("han", "kana", "thai") or normalized(language) in _WITHOUT_SPACES


def logographic(language: str) -> bool:
    """Whether a character means about as much as a word, as in Chinese and Japanese.

    Not Thai: its characters are letters, and spaces separate its phrases.
    """
    return script_of(language) in ("han", "kana")


def _subtags(language: str) -> list[str]:
    return language.strip().lower().replace("_", "-").split("-")
