import pytest

from rag.names import begin_alike, names, places_of


def named(text: str, language: str) -> list[str]:
    return [text[start:end] for start, end in names(text, language)]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Вчера Пётр Жвачкин приехал в Ижевск.", "ru", ["Пётр", "Жвачкин", "Ижевск"]),
        ("The works of Ida Wentworth hang in Harsk.", "en", ["Ida", "Wentworth", "Harsk"]),
        ("La bióloga Inés Carrascosa vive en Málaga.", "es", ["Inés", "Carrascosa", "Málaga"]),
        ("La directrice Élodie Marchand vit à Lyon.", "fr", ["Élodie", "Marchand", "Lyon"]),
        ("На заводе «Редуктор» сменился директор.", "ru", ["Редуктор"]),
        ("The ship “Lady Annis” lies in Harsk's port.", "en", ["Lady", "Annis", "Harsk's"]),
    ],
)
def test_capitalised_words_are_names(text: str, language: str, expected: list[str]) -> None:
    assert named(text, language) == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The harbour was closed for repairs.", "en"),
        ("Порт закрыли на ремонт.", "ru"),
        ("«Мы закроем порт на ремонт», — сказал он.", "ru"),
        ("— Порт закрыт.", "ru"),
        ("(Nothing was lost.)", "en"),
        ("no names at all", "en"),
        ("12 345, 6%", "en"),
        ("😀", "en"),
        ("", "en"),
    ],
)
def test_a_word_that_opens_the_text_is_no_name_by_its_capital_alone(text: str, language: str) -> None:
    assert named(text, language) == []


@pytest.mark.parametrize(
    ("text", "language", "name"),
    [
        ("NASA launched a probe.", "en", "NASA"),
        ("iPhone sales fell.", "en", "iPhone"),
        ("McAllister left.", "en", "McAllister"),
        ("“Harsk” is a small brewery.", "en", "Harsk"),
        ("«Редуктор» построят заново.", "ru", "Редуктор"),
    ],
)
def test_a_word_that_opens_the_text_is_a_name_if_capitals_or_quotation_marks_tell(
    text: str, language: str, name: str
) -> None:
    assert named(text, language) == [name]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("the mayor of Stoke-on-Trent", "en", ["Stoke-on-Trent"]),
        ("она живёт в Ростове-на-Дону", "ru", ["Ростове-на-Дону"]),
        ("по словам Анны-Марии О'Хары", "ru", ["Анны-Марии", "О'Хары"]),
        ("a song by D’Arcy", "en", ["D’Arcy"]),
        ("shares of iPhone-maker Apple", "en", ["iPhone-maker", "Apple"]),
    ],
)
def test_hyphens_and_apostrophes_join_a_name(text: str, language: str, expected: list[str]) -> None:
    assert named(text, language) == expected


def test_words_of_one_or_two_letters_are_not_compared() -> None:
    assert named("He met Al Gore of the EU.", "en") == ["Gore"]


def test_languages_that_capitalise_every_noun_have_no_names_to_tell() -> None:
    assert named("Der Bürgermeister Karl Ambach kam nach Lindenau.", "de") == []


def test_a_name_in_latin_letters_is_found_within_chinese_and_arabic() -> None:
    assert named("临江市的iPhone用户和Anna Kessler见面。", "zh") == ["iPhone", "Anna", "Kessler"]
    assert named("苹果公司推出新产品。", "zh") == []
    assert named("أحمد ذهب إلى Berlin أمس", "ar") == ["Berlin"]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("Zhvachkin", "директор Жвачкин", "Жвачкин"),
        ("Жвачкин", "Pyotr Zhvachkin's plant", "Zhvachkin's"),
        ("Izhevsk", "завод в Ижевске", "Ижевске"),
        ("Ижевск", "a plant in Izhevsk", "Izhevsk"),
        ("Sheffield", "теплосеть в Шеффилде", "Шеффилде"),
        ("Карраскоса", "La bióloga Inés Carrascosa", "Carrascosa"),
        ("Reduktor", "завод «Редуктор»", "Редуктор"),
        ("Ижевска", "в Ижевске", "Ижевске"),
        ("Пётр", "Петр пришёл", "Петр"),
        ("Соколов", "передал Соколову", "Соколову"),
        ("Carrascosa", "CARRASCOSA", "CARRASCOSA"),
        ("中国", "中国", "中国"),
    ],
)
def test_a_name_is_found_in_any_inflection_spelling_and_alphabet(name: str, text: str, found: str) -> None:
    assert [text[start:end] for start, end in places_of(name, text)] == [found]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Хартвелл", "Dorothea Malling"),
        ("Voronezh", "завод в Ижевске"),
        ("Соколов", "Пётр Жвачкин"),
        ("Harsk", "Norsk"),
        ("Iran", "Iraq"),
        ("Мария", "Маркус"),
        ("Anna", ""),
        ("", "Anna"),
        ("", ""),
        ("😀", "😀 Anna"),
    ],
)
def test_another_name_is_not_taken_for_it(name: str, text: str) -> None:
    assert places_of(name, text) == []


def test_every_place_of_a_name_is_given() -> None:
    text = "Harsk lies by the sea; the port of Harsk is old."
    assert places_of("Harsk", text) == [(0, 5), (35, 40)]


@pytest.mark.parametrize(
    ("name", "text", "at", "expected"),
    [
        ("Пётр", "Peter came", 0, True),
        ("Peter", "пришёл Пётр", 7, True),
        ("Пётр", "peter came", 0, False),
        ("Пётр", "John came", 0, False),
        ("Пётр", "", 0, False),
        ("Пётр", "!", 0, False),
        ("", "Peter", 0, False),
    ],
)
def test_names_begin_alike_if_a_capitalised_word_sounds_so(name: str, text: str, at: int, expected: bool) -> None:
    assert begin_alike(name, text, at) is expected
