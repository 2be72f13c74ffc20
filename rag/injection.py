"""Text in an article that speaks to a language model rather than to its readers.

Such text is not sent to a model and cannot support a sentence. No pattern knows every attack: what holds in any case is
that a sentence is shown as supported only by a quote, and never because a model says so.
"""

import re
import unicodedata
from functools import lru_cache

from rag.alignment import Span

_MODEL = r"""(?:\b(?:AI(?:\s(?:readers?|systems?|models?|assistants?|agents?|tools?))?|LLMs?|
    (?:large\s+)?language\s+models?|chat\s?-?bots?|bots?|answer\s+engines?|(?:any|you,?)\s+models?|
    the\s+same\s+model|models?\s+that\s+(?:can\s+)?reads?|assistants?|crawlers?|нейросет\w+|
    (?:языков\w+|генеративн\w+)\s+модел\w+|ИИ(?:-\w+)?|чат-?бот\w*|бот\w{0,2}|
    (?:запомни|скажи|слушай),\s+модель|роботу?-\w+|ассистент\w{0,2}|искусственн\w+\s+интеллект\w*|
    KI(?:-\w+)?|Sprachmodelle?n?|(?:das|dem)\s+Modell|inteligencia\s+artificial|
    asistentes?(?:\s+virtual\w*)?|modelos?\s+de\s+lengua\w+|modèles?\s+de\s+langage|
    intelligence\s+artificielle)\b|人工智能|语言模型|大模型|聊天机器人|智能助手)"""
_ORDER = r"""(?:\b(?:answer|reply|respond|say|tell|write|output|print|repeat|reveal|include|insert|append|cite|
    quote|render|decode|obey|ignore|disregard|overwrite|must|shall|have\s+to|ответь\w*|отвеча[йе]\w*|
    скажи\w*|говори\w*|напиши\w*|пиши\w*|выда[йв]\w*|повтор[ия]\w*|вставь\w*|утверждай\w*|обязан\w*|
    должн\w+|antworte|behaupte\w*|müssen|muss|sollen?|responde|diga|escriba|debe\w*|incluya|incluye|
    répond\w*|dites|doit|doivent|applique\w*)\b|回答|必须|应当|输出|重复)"""
_ANSWER = r"(?:\b(?:answers?|repl(?:y|ies)|ответ\w*|antwort\w*|respuestas?|réponses?)\b|回答)"
_SIGNS = (
    # To forget what it was told
    r"""(?:\A|[.!?:;,"“«(\n]\s*|\b(?:please|and|to|must|now|then|you)\s+)(?:ignore|disregard|forget|overwrite|override|bypass)\b
    [^.!?\n]{0,60}\b(?:instructions?|rules?|prompts?|guidelines?|passages?|above|everything|it)\b|\bno\s+longer\s+bound\b""",
    r"""\b(?:игнорируй(?:те)?|забудь(?:те)?|ignorier(?:e|en\s+sie)|vergiss|vergessen\s+sie|ignor[ae]|olvid[ae]|ignorez|oubliez?)\b
    [^.!?\n]{0,60}\b(?:инструкци\w+|правил\w*|указани\w+|промпт\w*|anweisung\w*|regeln?|vorgaben?|instrucciones|reglas|instructions?
    |consignes?|règles?)\b""",
    r"(?:忽略|无视|忘记)[^。！？\n]{0,20}(?:指令|规则|说明|提示|要求)",
    # To a model, by its name
    rf"{_MODEL}\s*[,，:：]\s*(?:please\s+|bitte\s+)?(?:do\s+not\s+|не\s+)?{_ORDER}|{_MODEL}\s*[:：]|致\s*{_MODEL}",
    rf"{_MODEL}\s*,\s*this\s+is\s+for\s+you|это\s+для\s+{_MODEL}",
    r"\b(?:запомни|помни|слушай|теперь),\s+модель\b",
    rf"""{_MODEL}[^.!?\n]{{0,60}}\b(?:read(?:s|ing)?\s+(?:this|the|both)|processing\s+this|that\s+(?:is\s+reading|answers?\s+from)|if\s+you
    |читающ\w+|котор\w+\s+(?:читает|собирает)|auswertet|liest|lee\s+esto|lisent)\b""",
    rf"""{_MODEL}\s+(?:обязан\w*|должн\w+|must|shall|has\s+to|muss|debe|doit)\s+(?:\w+\s+)?{_ORDER}
    |{_MODEL}[^.!?\n]{{0,60}}\b(?:обязан\w*|must)\s+(?:выдать|написать|ответить|сказать|повторить|answer|say|reply|write|repeat)""",
    rf"(?:требую\s+от|бот[,:]?\s|скажи\s+людям|людям\s+пиши)\s*(?:{_MODEL}|{_ORDER})",
    rf"{_MODEL}[^.!?\n]{{0,40}}\b(?:always|every|всегда|кажд\w+|immer|jede[rn]?|siempre|cada|toujours|chaque)\b[^.!?\n]{{0,40}}{_ANSWER}",
    rf"""\b(?:dear|note\s+(?:for|to)|notice\s+(?:for|to)|hint\s+for|instructions?\s+(?:for|to)|memo[^.!?\n]{{0,20}}|text\s+for|for|для|указание
    |дорог\w+|уважаем\w+|an|für|hinweis\s+an|querid[ao]|aviso\s+a\w*|para|cher|chère|pour)\s+(?:\w+\s+)?{_MODEL}[^.!?\n]{{0,60}}[:,，]""",
    # To whoever retells it
    r"""\b(?:summari[sz]\w+|summar(?:y|ies)|excerpts?|paraphras\w+|retell\w*|digest)\b[^.!?\n]{0,80}\b(?:should|must|shall|state|say|write|include|use\s+this)\b
    |\b(?:пересказ\w*|резюмир\w*|кратк\w+\s+изложени\w+|выжимк\w+)\b[^.!?\n]{0,80}\b(?:следует|нужно|надо|должн\w+|укаж\w*|указать|обязан\w*|напиш\w*)\b
    |\b(?:zusammenfass\w*)\b[^.!?\n]{0,80}\b(?:soll\w*|muss|müssen|angeben|schreib\w*)\b|\bresum\w+\b[^.!?\n]{0,80}\b(?:ha\s+de|han\s+de|debe\w*|señal\w+|indi\w+)\b
    |\brésum\w+\b[^.!?\n]{0,80}\b(?:doi\w+|indiqu\w+|précis\w+)\b""",
    r"(?:摘要|概括|转述|总结)[^。！？\n]{0,30}(?:请|应|须|必须|写明|注明)",
    # Of its user and of its answer
    r"""\bthe\s+user['’]s\s+(?:real|actual|true|answer)|\bwhatever\s+(?:the\s+user|you\s+are)\b|\b(?:render|begin|start|end|open|in)\s+your\s+(?:answer
    |reply|response)|\bin\s+(?:every|each)\s+(?:answer|reply)|\b(?:automatic|generated)\s+answers\b|\banswer\s+to\s+every\s+question\b
    |что\s+бы\s+ни\s+спросил|ответе\s+(?:пиш|укаж|скаж|напиш)|用户(?:真正|实际|的问题)|每一次回答""",
    r"""(?<!operating\s)\bsystem\s+(?:prompt|update\s+\d|update\s+from|message\s*:)|\bdebug\s+mode|\bfrom\s+now\s+on\b[^.!?\n]{0,40}\b(?:answer|reply)
    |\bexample\s+dialogue|обновление\s+системы\s+от|системн\w+\s+промпт|образ\w+\s+ответ\w+\s+для|\bbase64\b|\brot13\b|系统[：:]""",
    # Made-up parts of a conversation, or of a prompt
    r"""</?\s*(?:system|passages?|user|assistant|instructions?|tool)\b|\[/?INST\]|<\|[^|>\n]*\|?>|\#{2,}\s*(?:system|instruction|assistant)\b
    |["']role["']\s*:|^\s*(?:system|assistant|система|ассистент)\s*[:：]|not_in_passages|!\[[^\]\n]*\]\(|[A-Za-z0-9+/]{60,}={0,2}""",
)
_SPEAKS = re.compile("|".join(f"(?:{sign})" for sign in _SIGNS), re.IGNORECASE | re.VERBOSE | re.MULTILINE)
_LATIN_WORD = re.compile(r"\w*[a-zA-Z]\w*")
_LEET = str.maketrans("01345@$", "oieasas")
_LOOK_ALIKES = str.maketrans("аеорсухіѕјԁ", "aeopcyxisjd")  # Cyrillic letters in Latin words
_LATIN_LOOK_ALIKES = str.maketrans("aeopcyx", "аеорсух")  # and the reverse
_CYRILLIC_WORD = re.compile(r"\w*[а-яё]\w*", re.IGNORECASE)


@lru_cache(maxsize=512)
def untrusted(text: str) -> tuple[Span, ...]:
    """Give the paragraphs of an article that speak to a model, each with the ones beside it, as spans in order.

    What a model is told to say often stands in the next paragraph, or in the one before.
    """
    paragraphs = [m.span() for m in re.finditer(r"(?:[^\n]+\n)*[^\n]+" if "\n\n" in text else r"[^\n]+", text)]
    told = [n for n, (start, end) in enumerate(paragraphs) if speaks_to_a_model(text[start:end])]
    beside = sorted({n + step for n in told for step in (-1, 0, 1) if 0 <= n + step < len(paragraphs)})
    return tuple(paragraphs[n] for n in beside)


def speaks_to_a_model(text: str) -> bool:
    """Tell whether a text speaks to a language model, also in letters that only look alike, or backwards."""
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    forms = {
        plain,
        plain[::-1],
        _LATIN_WORD.sub(lambda word: word[0].translate(_LEET), plain),
        _LATIN_WORD.sub(lambda word: word[0].translate(_LOOK_ALIKES), plain),
        _CYRILLIC_WORD.sub(lambda word: word[0].translate(_LATIN_LOOK_ALIKES), plain),
    }
    return any(_SPEAKS.search(form) for form in forms)


def is_untrusted(article: str, start: int, end: int) -> bool:
    """Tell whether a span of an article's text touches what speaks to a model."""
    return any(low < end and start < high for low, high in untrusted(article))


def trusted(article: str, start: int, end: int) -> str:
    """Give a span of an article's text with an ellipsis in place of what speaks to a model."""
    parts, at = list[str](), start
    for low, high in untrusted(article):
        if low < end and start < high:
            parts += [article[at : max(at, low)], "…"]
            at = max(at, min(high, end))
    return "".join([*parts, article[at:end]])
