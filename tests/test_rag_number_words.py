import pytest

from rag.number_words import counted


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("six kilometres", 6),
        ("в шести километрах", 6),
        ("с шестью окнами", 6),
        ("sechs Kilometer", 6),
        ("seis kilómetros", 6),
        ("六公里", 6),
        ("two lanes", 2),
        ("двух полос", 2),
        ("zwei Spuren", 2),
        ("dos carriles", 2),
        ("deux voies", 2),
        ("两条车道", 2),
        ("nine countries", 9),
        ("в девяти странах", 9),
        ("neun Länder", 9),
        ("nueve países", 9),
        ("neuf pays", 9),
        ("九个国家", 9),
        ("twelve rooms", 12),
        ("двенадцати комнат", 12),
        ("zwölf Zimmer", 12),
        ("doce habitaciones", 12),
        ("douze chambres", 12),
        ("十二个房间", 12),
        ("a dozen rooms", 12),
        ("forty years", 40),
        ("сорока лет", 40),
        ("vierzig Jahre", 40),
        ("cuarenta años", 40),
        ("quarante ans", 40),
        ("四十年", 40),
        ("a hundred guests", 100),
        ("сто гостей", 100),
        ("hundert Gäste", 100),
        ("cien invitados", 100),
        ("一百位客人", 100),
        ("a thousand trees", 1000),
        ("тысяча деревьев", 1000),
        ("tausend Bäume", 1000),
        ("mil árboles", 1000),
        ("mille arbres", 1000),
        ("полторы тысячи деревьев", 1500),
        ("в восьми километрах", 8),
        ("двое суток", 2),
        ("трое детей", 3),
    ],
)
def test_numbers_in_words_are_read_in_six_languages(text: str, number: int) -> None:
    assert number in counted(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("the third floor", 3),
        ("на третьем этаже", 3),
        ("im dritten Stock", 3),
        ("el tercer piso", 3),
        ("le troisième étage", 3),
        ("第三层", 3),
        ("Sixth Avenue", 6),
        ("в шестом доме", 6),
        ("в восьмом доме", 8),
        ("he came twice", 2),
        ("приехал дважды", 2),
    ],
)
def test_ordinals_count_as_their_numbers(text: str, number: int) -> None:
    assert number in counted(text)


@pytest.mark.parametrize(
    "text",
    [
        "half of the guests",
        "половина гостей",
        "die Hälfte der Gäste",
        "la mitad de los invitados",
        "la moitié des invités",
        "一半的客人",
    ],
)
def test_half_is_fifty_per_cent(text: str) -> None:
    assert 50 in counted(text)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("It closes at 11pm.", 23),
        ("It closes at 11 p.m. sharp.", 23),
        ("It closes at 3:30 pm.", 15),
        ("Закрывается в 11 вечера.", 23),
        ("Закрывается в 11 часов вечера.", 23),
        ("Закрывается в 3 часа дня.", 15),
        ("Es schließt um 11 Uhr abends.", 23),
        ("Cierra a las 8 de la tarde.", 20),
        ("下午3点关门。", 15),
        ("晚上11点关门。", 23),
    ],
)
def test_an_hour_of_the_afternoon_is_counted_from_midnight(text: str, hour: int) -> None:
    assert counted(text) == {hour}


@pytest.mark.parametrize("text", ["It opens at 11 am.", "It closes at 12 pm.", "в 11 утра", "at 23:00", "上午11点"])
def test_other_hours_are_left_as_they_are(text: str) -> None:
    assert counted(text) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "someone often weighs a stone",
        "the freighter and the tension",
        "сотрудник занял место за столом",
        "пятно на трибуне",
        "семинар и четверг",
        "Sie beachten die Dreistigkeit",
        "los mileniales y el docente",
        "12 345",
        "😀\0",
        "",
    ],
)
def test_no_number_is_seen_inside_other_words(text: str) -> None:
    assert counted(text) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "social media",
        "a cent",
        "once a mill",  # Spanish "eleven"
        "дверь закрыта",
        "её семья",
        "новый тренд",
        "во вторник",
        "the UN said",
        "a premium",
    ],
)
def test_words_that_look_like_numbers_are_none(text: str) -> None:
    assert counted(text) == frozenset()


def test_capitals_do_not_matter() -> None:
    assert counted("SIX Rooms") == counted("six rooms") == {6}
    assert counted("ШЕСТЬ") == {6}


def test_all_numbers_of_a_text_are_given() -> None:
    assert counted("Three of the seven bridges, half of them iron") == {3, 7, 50}


@pytest.mark.xfail(strict=True, reason="each word is read by itself")
def test_a_number_of_two_words_is_read_as_one() -> None:
    assert 85 in counted("eighty-five rooms")
