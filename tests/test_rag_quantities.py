import re
import subprocess
import sys
from decimal import Decimal

import pytest
from conftest import SUBPROCESS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag.quantities import Date, Number, compatible, month, quantities, states
from rag.reader.agreement import agree

# Texts as they are written: digits, marks, scales, units and months in every order, among letters of all scripts.
PIECES = st.sampled_from([
    "5", "12", "31", "48", "2024", "1.234", "1,5", "500", "-14", "٤٨", "४८", "31.05.2024", "5月", "31日", "May", "мая",
    "km", "км²", "°C", "г.", "百分之", "yüzde", "minus", "de", "of", "Erfurt", "兆瓦", *"−.,-/’%$€²½\0İ年",
    "млн", "bn", "Billion", "mil", "millones", "万", "億", "الف", "ล้าน",
])  # fmt: skip
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.one_of(PIECES, st.just(" ")), max_size=12).map("".join))


def dates(text: str) -> tuple[Date, ...]:
    return tuple(quantity for quantity in quantities(text) if isinstance(quantity, Date))


def _number(text: str) -> Number:
    (found,) = quantities(text)
    assert isinstance(found, Number) and text[found.start : found.end] == text
    return found


def _values(text: str) -> set[Decimal]:
    return set(_number(text).values)


# How much is it?


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("48", "48"),
        ("٤٨", "48"),
        ("४८", "48"),
        ("４８", "48"),
        ("11,500", "11500"),
        ("11 500", "11500"),
        ("11\u202f500", "11500"),
        ("11’500", "11500"),
        ("1.234.567", "1234567"),
        ("1,234,567.89", "1234567.89"),
        ("1.234.567,89", "1234567.89"),
        ("1 234,567", "1234.567"),
        ("12,34,567", "1234567"),
        ("0.234", "0.234"),
        ("1,5", "1.5"),
        ("٣٫٥", "3.5"),
        ("-14", "-14"),
        ("−14", "-14"),
        ("–14", "-14"),
        ("минус 14", "-14"),
        ("零下14", "-14"),
        ("48 million", "48e6"),
        ("4800万", "48e6"),
        ("48 миллионов", "48e6"),
        ("48 million", "48e6"),
        ("48-million", "48e6"),
        ("6 milyar", "6e9"),
        ("5 mil millones", "5e9"),
        ("5 тыс. млн", "5e9"),
        ("50亿", "5e9"),
        ("50억", "5e9"),
        ("1,5 Mrd", "1.5e9"),
        ("5 مليار", "5e9"),
        ("5 tỷ", "5e9"),
        ("5 bilhões", "5e9"),
        ("5 billion", "5e9"),
        ("5 Billionen", "5e12"),
        ("5 billones", "5e12"),
        ("1 billón", "1e12"),
        ("5 bilionów", "5e12"),
        ("5 biljoner", "5e12"),
        ("5 trillion", "5e12"),
        ("5 триллионов", "5e12"),
        ("3.2万亿", "3.2e12"),
        ("12 लाख", "1.2e6"),
        ("3 करोड़", "3e7"),
        ("300 ล้าน", "3e8"),
        ("2 млн 300 тыс.", "2.3e6"),
        ("1億2000万", "1.2e8"),
        ("3万5000", "35000"),
        ("3만 5000", "35000"),
        ("1 millón", "1e6"),
        ("1 milión", "1e6"),
        ("1 milliárd", "1e9"),
        ("12 tys.", "12000"),
        ("12 tysięcy", "12000"),
        ("5 Mio.", "5e6"),
        ("5조", "5e12"),
    ],
)
def test_a_number_is_worth_the_same_in_any_writing(text: str, value: str) -> None:
    (found,) = quantities(text)
    assert isinstance(found, Number)
    assert set(found.values) == {Decimal(value)}
    assert (found.start, found.end) == (0, len(text.rstrip(".")))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1.234", {"1.234", "1234"}),
        ("1,234", {"1.234", "1234"}),
        ("1 Billion", {"1e9", "1e12"}),
        ("5 billions", {"5e9", "5e12"}),
        ("5 bin", {"5", "5000"}),
        ("5M", {"5", "5e6"}),
        ("1.500", {"1500"}),
        ("20 mn", {"20", "2e7"}),
        ("6 bln", {"6", "6e9", "6e12"}),
        ("5 Trillionen", {"5e12", "5e18"}),
        ("5 trillones", {"5e12", "5e18"}),
        ("48,000", {"48000"}),
    ],
)
def test_an_ambiguous_number_has_all_its_values(text: str, values: set[str]) -> None:
    assert _values(text) == set(map(Decimal, values))


def test_billions_before_de_are_french() -> None:
    assert set(quantities("2 billions d'euros")[0].values) == {Decimal("2e12")}  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["5 thriller", "5 триллеров", "5 Gläser", "5 military bases", "5 trilogies", "5 milk"])
def test_a_word_that_begins_like_a_scale_is_none(text: str) -> None:
    (found,) = quantities(text)
    assert isinstance(found, Number) and set(found.values) == {Decimal(5)} and not found.units and found.end == 1


@pytest.mark.parametrize(
    "text", ["12 tyska turister", "220千伏", "500千卡", "100兆宽带", "8조각", "제5조", "12 พันธุ์", "Nel 2024 mio padre"]
)
def test_a_longer_word_or_another_hides_no_scale(text: str) -> None:
    (found,) = quantities(text)
    assert isinstance(found, Number) and text[found.start : found.end] == re.findall(r"\d+", text)[0]
    assert found.values == {Decimal(text[found.start : found.end])} and not found.units


def test_a_range_has_the_scale_and_the_unit_of_its_end() -> None:
    for text in ("$5-7 million", "5–7 млн долларов", "5 – 7 млн $"):
        low, high = quantities(text)
        assert isinstance(low, Number) and isinstance(high, Number)
        assert low.values == {Decimal(5), Decimal("5e6")} and high.values == {Decimal("7e6")}
        assert "USD" in low.units & high.units
    assert quantities("2023-24 млн")[0].days == {(2023, None, None)}


def test_a_dash_between_numbers_or_after_a_word_is_no_minus() -> None:
    assert [q.values for q in quantities("5-7, 5–7, COVID-19") if isinstance(q, Number)] == [
        {Decimal(n)} for n in (5, 7, 5, 7, 19)
    ]


def test_numbers_with_more_points_than_one_number_has_are_several() -> None:
    assert len(quantities("1.2.3")) == 2 and not agree("1.2.3", "1.2.4") and agree("1.2.3", "1.2.3")


# Of what?


@pytest.mark.parametrize(
    ("unit", "texts"),
    [
        ("percent", ["12 %", "12%", "12 percent", "12 per cent", "12 процентов", "12 Prozent", "12 por ciento", "%12"]),
        ("percent", ["12٪", "百分之12", "yüzde 12", "12 प्रतिशत", "12 パーセント"]),
        (
            "kilometer",
            ["12 km", "12km", "12 kilometres", "12 kilometers", "12 километров", "12 км", "12公里", "12 كيلومتر"],
        ),
        (
            "kilometer",
            ["12-kilometre", "12 kilómetros", "12 kilomètres", "12 किलोमीटर", "12 キロメートル", "12킬로미터"],
        ),
        ("square-kilometer", ["12 km²", "12 km2", "12 кв. км", "12 квадратных километров", "12 Quadratkilometer"]),
        ("kilometer-per-hour", ["60 km/h", "60 км/ч"]),
        ("kilogram", ["12 kg", "12 кг", "12公斤"]),
        ("megawatt", ["150 MW", "150 МВт", "150 мегаватт", "150兆瓦"]),
        ("megawatt-hour", ["24 MWh", "24 МВт·ч"]),
        ("tonne", ["900 t", "900 т", "900吨", "900 tonnes", "900 Tonnen", "900 トン"]),
        ("year", ["75周年", "75週年", "75주년"]),
        ("year", ["15 years", "15 лет", "15年", "15 Jahre", "15년"]),
        ("hectare", ["20 hectares", "20 га", "20 ha"]),
        ("celsius", ["14 °C", "14°C", "14 ℃", "14º", "14 градусов Цельсия", "14 degrees Celsius"]),
        ("EUR", ["€48", "48 €", "48 евро", "48 euros", "EUR 48", "48 EUR", "48 欧元", "48 millions d'euros"]),
        ("USD", ["$48", "US$48", "USD 48", "48 долларов", "48 долларов США", "48 dólares", "48美元", "48 US dollars"]),
        ("NZD", ["NZ$48"]),
        ("NOK", ["48 kroner", "48 крон", "kr 48", "NOK 48"]),
        ("RUB", ["48 рублей", "48 руб.", "₽48", "48 roubles", "48 rubles", "48卢布"]),
        ("CNY", ["48元", "¥48", "48 yuan", "48 юаней"]),
    ],
)
def test_a_unit_is_the_same_in_any_language(unit: str, texts: list[str]) -> None:
    for text in texts:
        (found,) = quantities(text)
        assert isinstance(found, Number) and unit in found.units, text
        assert (found.start, found.end) == (0, len(text.rstrip("."))), text


def test_a_letter_is_a_scale_beside_a_sign_of_money() -> None:
    assert _values("£5m") == _values("$5M") == _values("5M€") == _values("R$ 5 mi") == {Decimal("5e6")}
    assert _values("$1.2bn") == {Decimal("1.2e9")} and _values("5 m") == {Decimal(5)}


def test_an_unknown_unit_is_none_and_no_part_of_it_counts() -> None:
    for text in ("5 kg/m²", "5 kmx", "5 МВт·x", "5 people"):
        (found,) = quantities(text)
        assert isinstance(found, Number) and not found.units and found.end == 1


@pytest.mark.parametrize("text", ["В Европе 12 %", "In Europe 12 %", "In France 12 %", "The party won 12 %"])
def test_words_before_a_figure_are_no_money(text: str) -> None:
    (found,) = quantities(text)
    assert isinstance(found, Number) and found.units == {"percent"} and text[found.start : found.end] == "12 %"


def test_words_that_begin_like_a_unit_are_none() -> None:
    for text in ("12 Europeans", "12 Frankfurters", "12 yeni", "12 lirici", "12 Кронштадт", "12 an hour", "5G"):
        (found,) = quantities(text)
        assert isinstance(found, Number) and not found.units, text


def test_years_stay_years_beside_words_that_are_also_units() -> None:
    years = ("Nel 2024 ha vinto", "в 2024 году", "за 2024 год", "2024年", "2024 г.", "In 2024", "In 2024 Europe")
    others = ("in 2024 won", "Евро-2024", "Nel 2024 l'azienda", "En 2024 mi empresa", "2024日本シリーズ", "2024元旦")
    for text in (*years, *others):
        assert compatible(quantities(text)[0], quantities("2024 год")[0]), text
        (found,) = quantities(text)
        assert found.days == {(2024, None, None)}, text
    assert quantities("2024 km")[0].days == quantities("48")[0].days == quantities("2024.5")[0].days == frozenset()


# When?

THE_DAY = [
    "31.05.2024",
    "31.5.2024",
    "2024-05-31",
    "2024/5/31",
    "2024. 5. 31.",
    "31/05/2024",
    "31-05-2024",
    "05/31/2024",
    "31 мая 2024",
    "31-го мая 2024",
    "31 травня 2024",
    "31 May 2024",
    "31st of May, 2024",
    "May 31, 2024",
    "May 31 2024",
    "31. Mai 2024",
    "31 mai 2024",
    "31 de mayo de 2024",
    "31 de maio de 2024",
    "31 maggio 2024",
    "31 maja 2024",
    "31 mei 2024",
    "31 maj 2024",
    "31 Mayıs 2024",
    "31 Mei 2024",
    "2024年5月31日",
    "2024년 5월 31일",
    "٣١ مايو ٢٠٢٤",
    "31 मई 2024",
    "31 พฤษภาคม 2024",
    "31 Μαΐου 2024",
    "31 tháng 5, 2024",
]


@pytest.mark.parametrize("text", THE_DAY)
def test_a_day_is_the_same_in_any_writing(text: str) -> None:
    (found,) = dates(f"({text})")
    assert found.days == {(2024, 5, 31)}
    assert f"({text})"[found.start : found.end] == text.rstrip(".")


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("31 мая", {(None, 5, 31)}),
        ("May 31", {(None, 5, 31)}),
        ("June 3rd", {(None, 6, 3)}),
        ("1er mai", {(None, 5, 1)}),
        ("5月31日", {(None, 5, 31)}),
        ("мая 2024", {(2024, 5, None)}),
        ("мае 2024", {(2024, 5, None)}),
        ("maju 2024", {(2024, 5, None)}),
        ("May 2024", {(2024, 5, None)}),
        ("mayo de 2024", {(2024, 5, None)}),
        ("2024年5月", {(2024, 5, None)}),
        ("05/06/2024", {(2024, 5, 6), (2024, 6, 5)}),
        ("31.05.24", {(1924, 5, 31), (2024, 5, 31)}),
        ("5 ene 2024", {(2024, 1, 5)}),
        ("05.2024", {(2024, 5, None)}),
        ("14日", {(None, None, 14)}),
        ("14일", {(None, None, 14)}),
        ("31 พฤษภาคม 2567", {(2024, 5, 31)}),
        ("31 พฤษภาคม พ.ศ. 2567", {(2024, 5, 31)}),
    ],
)
def test_what_a_date_leaves_open_stays_open(text: str, days: set[tuple[int | None, ...]]) -> None:
    (found,) = dates(text)
    assert found.days == days and (found.start, found.end) == (0, len(text))


def test_both_days_of_a_span_are_found() -> None:
    for text in ("5–7 мая 2024", "May 5-7, 2024", "с 5 по 7 мая 2024", "5 to 7 May 2024"):
        assert [day for date in dates(text) for day in date.days] == [(2024, 5, 5), (2024, 5, 7)]


@pytest.mark.parametrize(
    "text",
    [
        "They march 12 km",
        "12 set out",
        "5 out of 7",
        "In May 5 million came",
        "в мае 12 компаний",
        "В июне 15 заводов закрылись",
        "Im Mai 12 Firmen",
        "At least 12 may have died",
        "12 mau",
        "14日間",
        "99.99.2024",
        "10.12.13.14",
        "12 Uhr",
        "1/2",
    ],
)
def test_what_only_looks_like_a_date_is_none(text: str) -> None:
    assert dates(text) == ()


def test_a_month_has_its_names() -> None:
    assert month("июле") == month("July") == month("七月") == month("temmuz") == 7
    assert month("Erfurt") is month("") is None


# Can they be the same?


def test_what_only_one_says_does_not_matter_and_what_both_say_does() -> None:
    def fit(a: str, b: str) -> bool:
        assert compatible(quantities(a)[0], quantities(b)[0]) == compatible(quantities(b)[0], quantities(a)[0])
        return compatible(quantities(a)[0], quantities(b)[0])

    assert fit("12 %", "12") and not fit("12 %", "12 km") and not fit("12 %", "13 %")
    assert fit("31 May", "2024-05-31") and fit("May 2024", "31 May") and not fit("31 May", "2024")
    assert fit("2024", "31 May 2024") and not fit("31", "31 May") and not fit("2023", "31 May 2024")
    assert fit("1.234", "1234") and fit("1.234", "1,234 km") and not fit("1.234", "1235")


BRIDGE = "Новый мост через Томь открыли 31 мая 2024 года. Он обошёлся в 12 млрд рублей, на 5 % дороже, длина 1,2 км."


def _not_stated(claim: str, source: str, published: str | None = None) -> list[str]:
    return [claim[q.start : q.end] for q in quantities(claim) if not states(q, source, published)]


def test_a_source_states_quantities_in_any_form_but_no_others() -> None:
    true = "On May 31, 2024 a 1.2 kilometre bridge opened; it cost 12 billion roubles, 5 percent more."
    false = "On June 1, 2024 a 1.2 mile bridge opened; it cost 12 million roubles, 5 percent more than in 2023."
    assert _not_stated(true, BRIDGE) == []
    assert _not_stated(false, BRIDGE) == ["June 1, 2024", "1.2 mile", "12 million roubles", "2023"]


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("80 fitters", "Восемьдесят слесарей пройдут курсы."),
        ("сократилось до 6", "число жалоб упало до шести"),
        ("16 вагонов", "sixteen cars"),
        ("50 % жителей", "половина жителей"),
        ("в 23 часа", "after 11pm"),
        ("2 stops", "设两个站点"),
        ("in Q2", "в втором квартале"),
    ],
)
def test_small_numbers_may_stand_in_words(claim: str, source: str) -> None:
    assert _not_stated(claim, source) == []
    assert _not_stated(claim.replace("6", "7").replace("80", "70").replace("50", "40"), "ничего") != []


def test_a_year_that_is_left_out_is_that_of_the_publication() -> None:
    source = "Открытие назначили на 31 мая."
    assert _not_stated("It opens on May 31, 2024.", source, "2024-02-01") == []
    assert _not_stated("It opens on May 31, 2025.", source, "2024-02-01") == ["May 31, 2025"]
    assert _not_stated("It opens in 2024.", source, "2024") == []
    assert _not_stated("It opens in 2025.", source, "2024") == ["2025"]
    assert _not_stated("It was said on February 1, 2024.", "Сказали вчера.", "2024-02-01") == []
    assert _not_stated("It was said on February 2, 2024.", "Сказали вчера.", "2024-02-01") == ["February 2, 2024"]


@settings(deadline=None, max_examples=300)
@given(TEXTS)
@example("1,2,3,4,5,6,7,8,9,10,11,12")
@example("9" * 5000)
@example("\ud800 5")
@example("0 мая 0000")
@example("5 " + "万" * 50)
def test_in_any_text_spans_are_true_and_a_text_states_what_it_states(text: str) -> None:
    found = quantities(text)
    at = 0
    for quantity in found:
        assert at <= quantity.start < quantity.end <= len(text)
        assert isinstance(quantity, Date) or quantity.values
        at = quantity.end
    spans = [range(q.start, q.end) for q in found]
    digits = [m.start() for m in re.finditer(r"\d", text)]
    assert all(any(digit in span for span in spans) for digit in digits)
    assert _not_stated(text, text) == []


def test_a_long_list_of_numbers_takes_no_time_that_grows_with_its_square() -> None:
    assert len(quantities("1," * 20_000)) > 2_000
    infinite = "9" * 1_100_000 + " million"
    assert len(quantities(infinite)) == 1


def test_importing_brings_no_babel() -> None:
    code = "import sys, rag.quantities; sys.exit('babel' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=SUBPROCESS)


# Do two answers say the same? More of it in test_rag_reader.py

SAME = [
    *((THE_DAY[0], text) for text in THE_DAY),
    ("5 mil millones", "5 Milliarden"),
    ("5 млрд", "50亿"),
    ("5 billion", "5 mil millones"),
    ("48,000,000", "4800万"),
    ("٤٨ مليون", "48 million"),
    ("1,5 млн", "1.5 million"),
    ("12 процентов", "12 percent"),
    ("1 Billion Euro", "1 trillion euros"),
    ("3 billones de euros", "3 trillion euros"),
    ("2 billions d'euros", "2 Billionen Euro"),
    ("48 млн долларов", "$48m"),
    ("-14 °C", "minus 14 degrees Celsius"),
    ("Erfurt", "Erfurt, 2025"),
    ("Эрфурт, 2025", "Erfurt"),
    ("in July", "в июле"),
    ("в Ижевске", "in Izhevsk"),
    ("im Mai 2024", "in May 2024"),
    ("в Твери с 2024 года", "in Tver since 2024"),
    ("весной 2024 года", "in spring 2024"),
    ("14日投产", "14 мая"),
    ("2024", "31 мая 2024"),
]
DIFFERENT = [
    ("6 milyon", "6 milyar"),
    ("$48 million", "€48 million"),
    ("-14 °C", "14 °C"),
    ("14 °C", "14 °F"),
    ("12 %", "12 km"),
    ("5 km", "5 km²"),
    ("5 billion", "5 billones"),
    ("5 billion", "5 trillion"),
    ("A$5", "US$5"),
    ("Erfurt, 2024", "Erfurt, 2025"),
    ("Erfurt", "2025"),
    ("Erfurt, 2025", "Дрезден, 2025"),
    ("в Твери с 2024 года", "in Linz since 2024"),
    ("Erfurt", "Dresden, 2025"),
    ("the track", "the 1500 m track"),
    ("im Juni", "im Juli"),
    ("G7", "G20"),
    ("31.05.2024", "31.05.2023"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_answers_with_the_same_quantities_agree(a: str, b: str) -> None:
    assert agree(a, b) and agree(b, a)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_answers_with_other_quantities_do_not_agree(a: str, b: str) -> None:
    assert not agree(a, b) and not agree(b, a)


@settings(deadline=None, max_examples=300)
@given(TEXTS, TEXTS)
@example("Anna", "Anna Anders")
@example("ab cd", "ab ab")
def test_agreement_does_not_depend_on_the_order(a: str, b: str) -> None:
    assert agree(a, b) == agree(b, a)


@pytest.mark.parametrize(("a", "b"), [("Iran", "Iraq"), ("Austria", "Australia"), ("Slovakia", "Slovenia")])
def test_names_that_begin_alike_are_not_the_same(a: str, b: str) -> None:
    assert not agree(a, b)


@pytest.mark.parametrize(("a", "b"), [("Linz", "Линц"), ("Ижевск", "в Ижевске"), ("Москва", "Москвой")])
def test_names_are_the_same_inflected_and_in_another_alphabet(a: str, b: str) -> None:
    assert agree(a, b) and agree(b, a)
