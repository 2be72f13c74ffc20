"""What the assistant itself says, in the question's language; English where a language is not among these."""

_NO_ANSWER = {
    "en": "The articles do not answer this question.",
    "ru": "В статьях нет ответа на этот вопрос.",
    "uk": "У статтях немає відповіді на це запитання.",
    "de": "Die Artikel beantworten diese Frage nicht.",
    "es": "Los artículos no responden a esta pregunta.",
    "fr": "Les articles ne répondent pas à cette question.",
    "it": "Gli articoli non rispondono a questa domanda.",
    "pt": "Os artigos não respondem a esta pergunta.",
    "pl": "Artykuły nie odpowiadają na to pytanie.",
    "tr": "Makaleler bu soruyu yanıtlamıyor.",
    "zh": "这些文章没有回答这个问题。",
    "ja": "記事にはこの質問への答えがありません。",
    "ko": "기사에는 이 질문에 대한 답이 없습니다.",
    "ar": "لا تجيب المقالات عن هذا السؤال.",
}


def no_answer(language: str) -> str:
    """Say that the articles do not hold an answer."""
    return _said(_NO_ANSWER, language)


_UNSURE = {
    "en": "Not sure, but this comes closest:",
    "ru": "Не уверен, но ближе всего вот что:",
    "uk": "Не певен, але найближче ось що:",
    "de": "Nicht sicher, aber am nächsten kommt dies:",
    "es": "No es seguro, pero esto es lo más cercano:",
    "fr": "Ce n’est pas sûr, mais voici ce qui s’en approche le plus :",
    "it": "Non è sicuro, ma questo è ciò che si avvicina di più:",
    "pt": "Não é certo, mas isto é o que mais se aproxima:",
    "pl": "Bez pewności, ale najbliższe jest to:",
    "tr": "Kesin değil, ama en yakını bu:",
    "zh": "不能确定，但最接近的是：",
    "ja": "確かではありませんが、最も近いのはこちらです。",
    "ko": "확실하지는 않지만 가장 가까운 것은 다음과 같습니다.",
    "ar": "ليس مؤكدًا، لكن هذا هو الأقرب:",
}


def unsure(language: str) -> str:
    """Say that what follows may not be the answer."""
    return _said(_UNSURE, language)


def _said(texts: dict[str, str], language: str) -> str:
    return texts.get(language, texts["en"])


_QUOTED_IN = {
    "en": "quoted in",
    "ru": "язык цитаты",
    "uk": "мова цитати",
    "de": "Sprache des Zitats",
    "es": "idioma de la cita",
    "fr": "langue de la citation",
    "it": "lingua della citazione",
    "pt": "idioma da citação",
    "pl": "język cytatu",
    "tr": "alıntının dili",
    "zh": "引文语言",
    "ja": "引用の言語",
    "ko": "인용문 언어",
    "ar": "لغة الاقتباس",
}


def quoted_in(language: str, quoted: str) -> str:
    """Say, in ``language``, which language a quote is in: "quoted in: Russian"."""
    from babel import Locale, UnknownLocaleError

    shown = language if language in _QUOTED_IN else "en"
    try:
        name = Locale.parse(shown).languages.get(quoted, quoted)
    except (UnknownLocaleError, ValueError):
        name = quoted
    return f"{_QUOTED_IN[shown]}: {name}"
