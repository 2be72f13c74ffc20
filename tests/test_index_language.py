import pytest

from index.language import UNKNOWN, alphabet, detect, is_common_term, is_unspaced, sentence_spans, terms


def _sentences(text: str, language: str) -> list[str]:
    return [text[a:b] for a, b in sentence_spans(text, language)]


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Dr. Fox met Mr. Hare at 5 p.m. on Monday.", "They talked."]),
        ("en", ["J. R. R. Tolkien wrote it.", "Nobody knew."]),
        ("en", ["It cost $3.5 million in the U.S. market alone.", "That is a lot!", "Is it?"]),
        ("en", ["Acme Inc. and Beta Co. merged on Jan. 5, 2024.", "Shares rose."]),
        ("de", ["Am 3. Juni 2024 beginnt der Bau.", "Er kostet 5 Mio. Euro."]),
        ("de", ["Das gilt z. B. für die 2. Bundesliga.", "Mehr weiß man nicht."]),
        ("es", ["La Sra. Ruiz llegó el lunes.", "¿Quién la esperaba?", "Nadie."]),
        ("fr", ["Le projet coûte 3,5 millions d'euros.", "Il sera prêt en juin !"]),
        ("ru", ["Договор подписали в г. Ижевске 5 мая 2024 г. при свидетелях.", "Работы начнутся летом."]),
        ("ru", ["Об этом сообщил А. С. Иванов.", "Стоимость — 3,5 млрд руб. без налога."]),
        ("ru", ["На ул. Ленина, д. 5 открыли музей.", "Вход свободный!"]),
        ("zh", ["线路将于六月开通。", "全长十二公里！", "何时动工？"]),
        ("ja", ["計画を発表した。", "駅は十五か所だ。"]),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(language: str, sentences: list[str]) -> None:
    glue = "" if language in ("zh", "ja") else " "
    assert _sentences(glue.join(sentences), language) == sentences


def test_a_line_break_ends_a_sentence_and_white_space_belongs_to_none() -> None:
    text = "  A heading\n\nA sentence here.  Another one.\n  "
    assert _sentences(text, "en") == ["A heading", "A sentence here.", "Another one."]
    assert next(sentence_spans(text, "en")) == (2, 11)


def test_text_without_words_has_no_sentences_or_one_and_never_an_error() -> None:
    assert _sentences("", "en") == []
    assert _sentences(" \n\t\n ", "und") == []
    assert _sentences("12 + 3", UNKNOWN) == ["12 + 3"]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Running trams, connected CITIES", ["run", "tram", "connect", "citi", "=kiti"]),
        ("ru", "Трамвайные линии, ЁЛКА", ["трамвайн", "лин", "елк", "=elk"]),
        ("de", "Straßen und Häuser", ["strass", "und", "haus", "=haus"]),
        ("es", "Más canciones", ["mas", "cancion"]),
        ("fr", "Évènements", ["even"]),
        ("zh", "无人驾驶", ["无人", "人驾", "驾驶"]),
        ("zh", "L9线", ["l9", "线"]),
        ("ja", "東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("en", "3.5 million", ["3.5", "million"]),
        ("ru", "проект Smart Cities", ["проект", "smart", "=smar", "citi", "=kiti"]),
        ("en", "the word Линии here", ["the", "word", "лин", "=lin", "here"]),
        ("en", "ｆｕｌｌ　ｗｉｄｔｈ", ["full", "width"]),
        ("und", "", []),
        ("en", "!? — …", []),
    ],
)
def test_terms_are_folded_stemmed_and_paired(language: str, text: str, expected: list[str]) -> None:
    assert terms(text, language) == expected


def test_one_word_is_one_term_however_it_is_written() -> None:
    assert terms("ёлки", "ru") == terms("Елка", "ru")
    assert terms("Café", "fr") == terms("cafe\u0301", "fr") == terms("CAFE", "fr")
    assert terms("smart city", "ru") == terms("smart cities", "en")
    assert terms("зелёный", "ru") == terms("зеленого", "ru")


@pytest.mark.parametrize(
    ("russian", "other", "language"),
    [
        ("в Ижевске", "in Izhevsk", "en"),
        ("город Корк", "the city of Cork", "en"),
        ("в Линце", "in Linz", "de"),
        ("о Твери", "to Tver", "en"),
        ("завод «Таганай-Б»", "the Taganay-B", "en"),
        ("о Шеффилде", "from Sheffield", "en"),
        ("Сергей Жвачкин", "Sergei Zhvachkin", "en"),
        ("в Нижнем Новгороде", "in Nizhny Novgorod", "en"),
    ],
)
def test_a_name_is_the_same_term_in_any_alphabet(russian: str, other: str, language: str) -> None:
    keys = [
        {term for term in terms(t, code) if is_common_term(term)} for t, code in ((russian, "ru"), (other, language))
    ]
    assert keys[0] & keys[1]


def test_alphabets_are_told_by_most_letters() -> None:
    texts = ["Smart City в Томске", "Томский Smart", "无锡L9线公交", "123", "ελληνικά"]
    assert [alphabet(text) for text in texts] == ["latin", "cyrillic", "unspaced", "other", "other"]


def test_a_term_is_never_longer_than_48_characters() -> None:
    assert [len(term) for term in terms("x" * 5000, "und")] == [48]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ru", "Проект трамвайной линии утвердили в Ижевске, открыть движение планируют в декабре."),
        ("en", "The city council approved the plan for a new tram line on Thursday."),
        ("es", "El ayuntamiento aprobó el jueves el plan de una nueva línea de tranvía."),
        ("de", "Der Stadtrat hat am Donnerstag den Plan für eine neue Straßenbahnlinie beschlossen."),
        ("zh", "市政府周四批准了新的有轨电车线路计划，预计明年六月开通。"),
        ("fr", "Le conseil municipal a approuvé jeudi le projet d'une nouvelle ligne de tramway."),
        ("ja", "市議会は木曜日に新しい路面電車の計画を承認した。"),
    ],
)
def test_the_language_of_a_sentence_is_told(language: str, text: str) -> None:
    assert detect(text) == language


@pytest.mark.parametrize("text", ["", "   ", "12.05.2024", "!!! ??? …", "😀😀"])
def test_text_without_letters_is_of_no_language(text: str) -> None:
    assert detect(text) == UNKNOWN == "und"


def test_unspaced_scripts_are_known_by_their_letters() -> None:
    assert is_unspaced("无锡将开通L9线")
    assert is_unspaced("รถราง")
    assert not is_unspaced("The L9 line")
    assert not is_unspaced("Линия 无")
    assert not is_unspaced("123")
