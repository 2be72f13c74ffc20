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


def is_unsure(text: str) -> bool:
    """Tell whether a text is what `unsure` says in one of the languages."""
    return text in _UNSURE.values()


_FELL_BACK = {
    "en": "The language model could not answer, so the articles are quoted instead: {}",
    "ru": "Языковая модель не ответила, поэтому вместо неё цитируются статьи: {}",
    "uk": "Мовна модель не відповіла, тому замість неї цитуються статті: {}",
    "de": "Das Sprachmodell konnte nicht antworten; stattdessen werden die Artikel zitiert: {}",
    "es": "El modelo de lenguaje no pudo responder; en su lugar se citan los artículos: {}",
    "fr": "Le modèle de langue n’a pas pu répondre ; les articles sont cités à sa place : {}",
    "it": "Il modello linguistico non ha risposto; al suo posto si citano gli articoli: {}",
    "pt": "O modelo de linguagem não respondeu; em vez disso citam-se os artigos: {}",
    "pl": "Model językowy nie odpowiedział, dlatego cytowane są artykuły: {}",
    "tr": "Dil modeli yanıt veremedi; bunun yerine makaleler alıntılanıyor: {}",
    "zh": "语言模型未能回答，改为引用文章：{}",
    "ja": "言語モデルが回答できなかったため、代わりに記事を引用します：{}",
    "ko": "언어 모델이 답하지 못해 대신 기사를 인용합니다: {}",
    "ar": "تعذّر على نموذج اللغة الإجابة، لذا تُقتبس المقالات بدلًا منه: {}",
}


def fell_back(language: str, reason: str) -> str:
    """Say that the chat model failed and the reader answered."""
    return _said(_FELL_BACK, language).format(reason)


_BROKE_OFF = {
    "en": "The language model broke off; what was checked until then is shown: {}",
    "ru": "Языковая модель прервалась; показано то, что успели проверить: {}",
    "uk": "Мовна модель перервалася; показано те, що встигли перевірити: {}",
    "de": "Das Sprachmodell brach ab; gezeigt wird, was bis dahin geprüft war: {}",
    "es": "El modelo de lenguaje se interrumpió; se muestra lo comprobado hasta entonces: {}",
    "fr": "Le modèle de langue s’est interrompu ; voici ce qui était vérifié jusque-là : {}",
    "it": "Il modello linguistico si è interrotto; ecco ciò che era stato verificato fino a quel punto: {}",
    "pt": "O modelo de linguagem foi interrompido; mostra-se o que foi verificado até então: {}",
    "pl": "Model językowy przerwał; pokazano to, co sprawdzono do tego momentu: {}",
    "tr": "Dil modeli yarıda kesildi; o ana kadar denetlenenler gösteriliyor: {}",
    "zh": "语言模型中断；以下为此前已核实的内容：{}",
    "ja": "言語モデルが中断したため、それまでに確認できた内容を示します：{}",
    "ko": "언어 모델이 중단되어 그때까지 확인된 내용만 표시합니다: {}",
    "ar": "توقف نموذج اللغة؛ يظهر ما جرى التحقق منه حتى ذلك الحين: {}",
}


def broke_off(language: str, reason: str) -> str:
    """Say that the chat model failed after part of the answer."""
    return _said(_BROKE_OFF, language).format(reason)


_SUPERSEDED = {
    "en": "A newer article, of {date}, gives another figure: {answer} ({title}).",
    "ru": "Более новая статья, от {date}, называет другую цифру: {answer} ({title}).",
    "uk": "Новіша стаття, від {date}, називає іншу цифру: {answer} ({title}).",
    "de": "Ein neuerer Artikel vom {date} nennt eine andere Zahl: {answer} ({title}).",
    "es": "Un artículo más reciente, del {date}, da otra cifra: {answer} ({title}).",
    "fr": "Un article plus récent, du {date}, donne un autre chiffre : {answer} ({title}).",
    "it": "Un articolo più recente, del {date}, dà un’altra cifra: {answer} ({title}).",
    "pt": "Um artigo mais recente, de {date}, dá outro número: {answer} ({title}).",
    "pl": "Nowszy artykuł, z {date}, podaje inną liczbę: {answer} ({title}).",
    "tr": "{date} tarihli daha yeni bir makale başka bir rakam veriyor: {answer} ({title}).",
    "zh": "{date} 的较新文章给出了不同的数字：{answer}（{title}）。",
    "ja": "{date} の新しい記事は別の数字を挙げています：{answer}（{title}）。",
    "ko": "{date}의 더 새로운 기사는 다른 수치를 제시합니다: {answer} ({title}).",
    "ar": "مقالة أحدث بتاريخ {date} تذكر رقمًا آخر: {answer} ({title}).",
}


def superseded(language: str, date: str, answer: str, title: str) -> str:
    """Say that a newer article has another figure."""
    return _said(_SUPERSEDED, language).format(date=date, answer=answer, title=title)


_ONLY_PUBLISHED = {
    "en": "Only articles published in this period were searched: {}.",
    "ru": "Поиск шёл только по статьям, опубликованным в этот период: {}.",
    "uk": "Пошук ішов лише серед статей, опублікованих у цей період: {}.",
    "de": "Gesucht wurde nur in Artikeln aus diesem Zeitraum: {}.",
    "es": "Solo se buscó en artículos publicados en este periodo: {}.",
    "fr": "Seuls les articles publiés dans cette période ont été consultés : {}.",
    "it": "Si è cercato solo tra gli articoli pubblicati in questo periodo: {}.",
    "pt": "Só se pesquisou em artigos publicados neste período: {}.",
    "pl": "Przeszukano tylko artykuły opublikowane w tym okresie: {}.",
    "tr": "Yalnızca bu dönemde yayımlanan makaleler arandı: {}.",
    "zh": "仅检索了此期间发表的文章：{}。",
    "ja": "この期間に公開された記事のみを検索しました：{}。",
    "ko": "이 기간에 게재된 기사만 검색했습니다: {}.",
    "ar": "جرى البحث فقط في المقالات المنشورة في هذه الفترة: {}.",
}


def only_published(language: str, period: str) -> str:
    """Say that only articles of a period were searched."""
    return _said(_ONLY_PUBLISHED, language).format(period)


_NOT_THEN = {
    "en": "No article published in this period answers; all were searched: {}.",
    "ru": "Среди статей, опубликованных в этот период, ответа нет; поиск шёл по всем: {}.",
    "uk": "Серед статей, опублікованих у цей період, відповіді немає; пошук ішов серед усіх: {}.",
    "de": "Kein Artikel aus diesem Zeitraum antwortet; gesucht wurde in allen: {}.",
    "es": "Ningún artículo de este periodo responde; se buscó en todos: {}.",
    "fr": "Aucun article de cette période ne répond ; tous ont été consultés : {}.",
    "it": "Nessun articolo di questo periodo risponde; si è cercato in tutti: {}.",
    "pt": "Nenhum artigo deste período responde; pesquisou-se em todos: {}.",
    "pl": "Żaden artykuł z tego okresu nie odpowiada; przeszukano wszystkie: {}.",
    "tr": "Bu dönemde yayımlanan hiçbir makale yanıt vermiyor; tümü arandı: {}.",
    "zh": "此期间发表的文章均无答案；已检索全部文章：{}。",
    "ja": "この期間の記事に答えがないため、すべてを検索しました：{}。",
    "ko": "이 기간의 기사에는 답이 없어 전체를 검색했습니다: {}.",
    "ar": "لا تجيب أي مقالة منشورة في هذه الفترة؛ جرى البحث في جميعها: {}.",
}


def not_then(language: str, period: str) -> str:
    """Say that the period asked about was left, because nothing published in it answers."""
    return _said(_NOT_THEN, language).format(period)


_AS_OF = {
    "en": "As of {}.",
    "ru": "По состоянию на {}.",
    "uk": "Станом на {}.",
    "de": "Stand: {}.",
    "es": "A fecha de {}.",
    "fr": "À la date du {}.",
    "it": "Al {}.",
    "pt": "Em {}.",
    "pl": "Stan na {}.",
    "tr": "{} itibarıyla.",
    "zh": "截至 {}。",
    "ja": "{} 時点。",
    "ko": "{} 기준.",
    "ar": "حتى {}.",
}


def as_of(language: str, date: str) -> str:
    """Say of which date the newest article cited is."""
    return _said(_AS_OF, language).format(date)


_UNSUPPORTED = {
    "en": "Written by the language model, but not found in the articles:",
    "ru": "Написано языковой моделью, но в статьях не найдено:",
    "uk": "Написано мовною моделлю, але в статтях не знайдено:",
    "de": "Vom Sprachmodell geschrieben, aber in den Artikeln nicht gefunden:",
    "es": "Escrito por el modelo de lenguaje, pero no hallado en los artículos:",
    "fr": "Écrit par le modèle de langue, mais introuvable dans les articles :",
    "it": "Scritto dal modello linguistico, ma non trovato negli articoli:",
    "pt": "Escrito pelo modelo de linguagem, mas não encontrado nos artigos:",
    "pl": "Napisane przez model językowy, lecz nieznalezione w artykułach:",
    "tr": "Dil modelinin yazdığı, ancak makalelerde bulunmayan:",
    "zh": "由语言模型写出，但文章中没有依据：",
    "ja": "言語モデルが書いたが、記事では確認できない内容：",
    "ko": "언어 모델이 썼지만 기사에서 확인되지 않는 내용:",
    "ar": "كتبه نموذج اللغة ولم يوجد في المقالات:",
}


def unsupported(language: str) -> str:
    """Say that what follows is not supported."""
    return _said(_UNSUPPORTED, language)


_SOURCES = {
    "en": "Sources:",
    "ru": "Источники:",
    "uk": "Джерела:",
    "de": "Quellen:",
    "es": "Fuentes:",
    "fr": "Sources :",
    "it": "Fonti:",
    "pt": "Fontes:",
    "pl": "Źródła:",
    "tr": "Kaynaklar:",
    "zh": "来源：",
    "ja": "出典：",
    "ko": "출처:",
    "ar": "المصادر:",
}


def sources(language: str) -> str:
    """Say that sources follow."""
    return _said(_SOURCES, language)


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
