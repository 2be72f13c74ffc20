import re
import subprocess
import sys
import time
from datetime import date

import pytest
from conftest import SUBPROCESS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag.time_scope import TimeScope, time_scope

TODAY = date(2024, 9, 18)  # a Wednesday

# A period is written "since..until", one date if both are the same; behind it + for recent, ! for publication.
PERIODS = {
    "en": [
        ("How many lights did Cork replace in 2023?", "2023"),
        ("In 2023 trams carried how many people in Cork?", "2023"),
        ("What happened in Cork in March 2024?", "2024-03"),
        ("What opened on 15 March 2024?", "2024-03-15"),
        ("What opened on March 15, 2024 in Leeds?", "2024-03-15"),
        ("How many homes were built in the first quarter of 2024?", "2024-01..2024-03"),
        ("What was the revenue in Q2 2023?", "2023-04..2023-06"),
        ("What were the losses in the second half of 2022?", "2022-07..2022-12"),
        ("How did rents change from 2021 to 2023?", "2021..2023"),
        ("How many trees were felled between March and May 2024?", "2024-03..2024-05"),
        ("How many trees were felled from November to February 2024?", "2023-11..2024-02"),
        ("Who led the firm before 2020?", "..2019"),
        ("What has been built since March?", "2024-03.."),
        ("Who led the firm after 2019 and before 2023?", "2020..2022"),
        ("Which bridges were closed in spring 2023?", "2023-03..2023-05"),
        ("Which roads were closed in the winter of 2023?", "2022-12..2023-02"),
        ("What happened yesterday in Turin?", "2024-09-17"),
        ("What did the council decide last week?", "2024-09-09..2024-09-15"),
        ("What did the council decide this month?", "2024-09"),
        ("Who was elected last year?", "2023"),
        ("What was sold last quarter?", "2024-04..2024-06"),
        ("How many strikes were there in the last 3 months?", "2024-06-18..2024-09-18"),
        ("How many strikes were there over the past two weeks?", "2024-09-04..2024-09-18"),
        ("Who was elected in May?", "2024-05"),
        ("Who was elected in November?", "2023-11"),
        ("Who resigned in March last year?", "2023-03"),
        ("What burned down on 3 October?", "2023-10-03"),
        ("How did exports in 2023 grow compared with 2022?", "2023"),
        ("What was decided three years ago?", "2021"),
        ("What did the 2023 budget give to schools?", "2023"),
        ("Which films were popular in the 1990s?", "1990..1999"),
        ("What was agreed in mid-2023?", "2023"),
        ("What was decided in 2021, 2022 and 2023?", "2021..2023"),
        ("What do articles from March 2024 say about the port?", "2024-03!"),
        ("What do articles about the port from March 2024 say?", "2024-03!"),
        ("Which firms are named in articles published last week?", "2024-09-09..2024-09-15!"),
        ("According to the news of 2023, who bought the mill?", "2023!"),
        ("What was reported in May 2024 about the tram?", "2024-05!"),
        ("What did the papers write about the tram in 2022?", "2022!"),
        ("What is in yesterday's headlines?", "2024-09-17!"),
        ("What are the latest articles from 2023 about?", "2023+!"),
        ("How many people live in Cork today?", "2024-09-18+"),
        ("who was elected in may 2023?", "2023-05"),
        ("Until 2019, who owned the pier?", "..2019"),
    ],
    "ru": [
        ("Сколько фонарей заменили в 2023 году?", "2023"),
        ("Сколько фонарей заменили в 2023 г. в Ижевске?", "2023"),
        ("Что произошло в марте 2024 года?", "2024-03"),
        ("Что открыли 15 марта 2024 года в Казани?", "2024-03-15"),
        ("Что открыли 15.03.2024?", "2024-03-15"),
        ("Что случилось 8 марта?", "2024-03-08"),
        ("Сколько домов сдали в первом полугодии 2023?", "2023-01..2023-06"),
        ("Какой была выручка во втором квартале 2024 года?", "2024-04..2024-06"),
        ("Какой была выручка в 3-м квартале прошлого года?", "2023-07..2023-09"),
        ("Сколько деревьев спилили с марта по май 2024?", "2024-03..2024-05"),
        ("Как менялась аренда с 2021 по 2023 год?", "2021..2023"),
        ("Как менялась аренда в 2021–2023 годах?", "2021..2023"),
        ("Кто руководил заводом до 2020 года?", "..2019"),
        ("Что построили после июня?", "2024-07.."),
        ("Что построили с марта?", "2024-03.."),
        ("Какие мосты закрыли весной 2023 года?", "2023-03..2023-05"),
        ("Что решили между 2019 и 2021 годами?", "2019..2021"),
        ("Что решил совет на прошлой неделе?", "2024-09-09..2024-09-15"),
        ("Что построили в этом году?", "2024"),
        ("Кого выбрали в прошлом году?", "2023"),
        ("Кого уволили в прошлом месяце?", "2024-08"),
        ("Сколько аварий было за последние полгода?", "2024-03-18..2024-09-18"),
        ("Сколько аварий было за последние три месяца?", "2024-06-18..2024-09-18"),
        ("Сколько аварий было за последний год?", "2023-09-18..2024-09-18"),
        ("Что случилось вчера?", "2024-09-17"),
        ("Кого назначили в мае?", "2024-05"),
        ("Кого назначили в декабре?", "2023-12"),
        ("Что подписали два года назад?", "2022"),
        ("Какие фильмы снимали в 2010-х?", "2010..2019"),
        ("Кого назначили в мае этого года?", "2024-05"),
        ("Насколько вырос экспорт в 2023 году по сравнению с 2022 годом?", "2023"),
        ("Что писали в мае 2024 о трамваях?", "2024-05!"),
        ("Что в новостях за 2023 год говорится о порте?", "2023!"),
        ("О чём статьи о порте за март 2024 года?", "2024-03!"),
        ("Какие фирмы названы в статьях, опубликованных на прошлой неделе?", "2024-09-09..2024-09-15!"),
        ("Что сообщали СМИ о пожаре в августе?", "2024-08!"),
        ("Что происходит сегодня в Омске?", "2024-09-18+"),
        ("ЧТО ПРОИЗОШЛО В 2023 ГОДУ?", "2023"),
    ],
    "de": [
        ("Wie viele Lampen wurden 2023 in Erfurt ersetzt?", "2023"),
        ("Wie viele Einwohner hatte Erfurt 2022?", "2022"),
        ("Wer wurde im Jahr 2021 Bürgermeister?", "2021"),
        ("Was geschah im März 2024?", "2024-03"),
        ("Was geschah am 15. März 2024?", "2024-03-15"),
        ("Wie hoch war der Umsatz im ersten Quartal 2024?", "2024-01..2024-03"),
        ("Wie stiegen die Mieten von 2021 bis 2023?", "2021..2023"),
        ("Was wurde zwischen März und Mai 2024 gebaut?", "2024-03..2024-05"),
        ("Wer leitete das Werk vor 2020?", "..2019"),
        ("Was wurde seit März gebaut?", "2024-03.."),
        ("Wer wurde letztes Jahr gewählt?", "2023"),
        ("Was beschloss der Rat in der vergangenen Woche?", "2024-09-09..2024-09-15"),
        ("Wie viele Unfälle gab es in den letzten drei Monaten?", "2024-06-18..2024-09-18"),
        ("Was geschah gestern?", "2024-09-17"),
        ("Was geschieht heute in Jena?", "2024-09-18+"),
        ("Welche Brücken waren im Sommer 2023 gesperrt?", "2023-06..2023-08"),
        ("Was steht in Artikeln vom März 2024 über den Hafen?", "2024-03!"),
        ("Was wurde im Mai 2024 über die Bahn berichtet?", "2024-05!"),
        ("Was wurde vor zwei Jahren unterschrieben?", "2022"),
    ],
    "es": [
        ("¿Cuántas farolas cambió Cádiz en 2023?", "2023"),
        ("¿Qué pasó en marzo de 2024?", "2024-03"),
        ("¿Qué se inauguró el 15 de marzo de 2024?", "2024-03-15"),
        ("¿Cuánto facturó en el primer trimestre de 2024?", "2024-01..2024-03"),
        ("¿Cuántos árboles se talaron de marzo a mayo de 2024?", "2024-03..2024-05"),
        ("¿Quién dirigía la fábrica antes de 2020?", "..2019"),
        ("¿Qué se ha construido desde 2021?", "2021.."),
        ("¿A quién eligieron el año pasado?", "2023"),
        ("¿Cuántas huelgas hubo en los últimos tres meses?", "2024-06-18..2024-09-18"),
        ("¿Qué decidió el pleno esta semana?", "2024-09-16..2024-09-22"),
        ("¿Qué dicen los artículos publicados en marzo de 2024?", "2024-03!"),
        ("¿Qué pasó ayer en Vigo?", "2024-09-17"),
        ("¿Qué se firmó hace dos años?", "2022"),
    ],
    "fr": [
        ("Combien de lampadaires Brest a-t-elle remplacés en 2023 ?", "2023"),
        ("Que s'est-il passé en mars 2024 ?", "2024-03"),
        ("Qu'a-t-on inauguré le 15 mars 2024 ?", "2024-03-15"),
        ("Quel était le revenu au premier trimestre 2024 ?", "2024-01..2024-03"),
        ("Qui dirigeait l'usine avant 2020 ?", "..2019"),
        ("Qu'a-t-on construit depuis 2021 ?", "2021.."),
        ("Qui a été élu l'année dernière ?", "2023"),
        ("Combien de grèves y a-t-il eu ces trois derniers mois ?", "2024-06-18..2024-09-18"),
        ("Que disent les articles publiés en mars 2024 ?", "2024-03!"),
        ("Que s'est-il passé hier à Lille ?", "2024-09-17"),
        ("Quels ponts étaient fermés en été 2023 ?", "2023-06..2023-08"),
    ],
    "zh": [
        ("2023年更换了多少路灯？", "2023"),
        ("2024年3月发生了什么？", "2024-03"),
        ("2024年3月15日开放了什么？", "2024-03-15"),
        ("2024年第一季度的收入是多少？", "2024-01..2024-03"),
        ("2023年上半年建了多少住房？", "2023-01..2023-06"),
        ("2021年至2023年房租如何变化？", "2021..2023"),
        ("2020年以前谁领导这家工厂？", "..2019"),
        ("2021年以来建了什么？", "2021.."),
        ("去年谁当选了？", "2023"),
        ("今年建了什么？", "2024"),
        ("上个月发生了什么？", "2024-08"),
        ("过去三个月有多少次罢工？", "2024-06-18..2024-09-18"),
        ("上周的新闻说了什么？", "2024-09-09..2024-09-15!"),
        ("2024年3月发表的文章说了什么？", "2024-03!"),
        ("与2022年相比，2023年出口增长了多少？", "2023"),
    ],
    "it": [("Chi ha vinto nel 2023?", "2023"), ("Chi ha vinto a marzo 2024?", "2024-03")],
    "pt": [("Quem venceu em 2023?", "2023"), ("Quem venceu em março de 2024?", "2024-03")],
    "pl": [("Kto wygrał w 2023 roku?", "2023"), ("Kto wygrał w marcu?", "2024-03")],
    "ja": [("2023年に何が起きましたか？", "2023")],
    "uk": [("Хто переміг у 2023 році?", "2023"), ("Хто переміг 5 травня 2024 року?", "2024-05-05")],
    "tr": [("Mayıs 2024 seçimini kim kazandı?", "2024-05")],
}  # fmt: skip

RECENT = {
    "en": [
        "What is the latest on the port?", "Who is the current mayor of Cork?", "Who runs the firm now?",
        "How many people currently work there?", "What has Cork recently opened?",
    ],
    "ru": [
        "Кто сейчас руководит заводом?", "Какие последние новости о порте?", "Сколько фонарей заменили на сегодня?",
        "Сколько жителей в Казани на сегодняшний день?", "Кто нынешний мэр Уфы?",
    ],
    "de": ["Wie ist der aktuelle Stand?", "Wer leitet das Werk derzeit?"],
    "es": ["¿Quién es actualmente el alcalde?", "¿Cuáles son las últimas noticias del puerto?"],
    "fr": ["Qui est le maire actuel ?", "Quelles sont les dernières nouvelles du port ?"],
    "zh": ["目前谁领导这家工厂？", "港口的最新消息是什么？"],
}  # fmt: skip

# Nothing here says when.
TRAPS = {
    "en": [
        "Who owns the mill?",
        "What may happen to the 300 trees?",
        "Who may march through Cork?",
        "How many people may join the march?",
        "Who runs 2024 trams?",
        "How many seats are there in 2024 trams?",
        "What was given to 1500 people?",
        "Which firm has more than 2000 workers?",
        "How did the firm grow to 1999 employees?",
        "Where is 10115 Berlin?",
        "What does Vision 2030 promise?",
        "Who hosted Expo 2020?",
        'What is "Goals 2020" about?',
        "What happens in “Summer of 2012”?",
        "What will be built by 2030?",
        "What must be done before 2030?",
        "How many trams will run in 2027?",
        "What will open in October 2024?",
        "How many homes were promised by 2022?",
        "Was it more than in 2019?",
        "Is it hotter than last year?",
        "Is the port larger than it was in 2019?",
        "Who has led the firm for 25 years?",
        "How long did the strike of 3 months last?",
        "Which flight has the number 2024?",
        "Who pays $2024 a month?",
        "How far is 2000 km?",
        "What does COVID-2019 cause?",
        "What is room 2012 used for?",
        "What does direct current do?",
        "How did the last year of the war end?",
        "What does USA Today belong to?",
        "Which newspaper has 40 editors?",
        "Who led the March on Washington?",
        "When must it be paid at the latest?",
        "How many pages has the 2,019-page report?",
        "What does tomorrow bring?",
        "Who was second in the first half of the match?",
    ],
    "ru": [
        "Кому принадлежит мельница?",
        "Сколько мест в 2000 трамваях?",
        "Что получили 1500 человек?",
        "Что такое Олимпиада-2014?",
        "О чём фильм «Лето 2012 года»?",
        "Что построят к 2030 году?",
        "Что нужно сделать до 2030 года?",
        "Сколько трамваев выйдет в 2027 году?",
        "Сколько домов обещали к 2022 году?",
        "Было ли это больше, чем в 2019 году?",
        "Жарче ли, чем в прошлом году?",
        "Кто руководит заводом 25 лет?",
        "Что делают за полгода?",
        "Какой дом на улице 8 Марта снесли?",
        "Кто такая Майя?",
        "Чем грозит последний год войны?",
        "Кто прожил 2000 лет?",
        "Сколько стоит билет за 2000 рублей?",
        "Где находится почтовое отделение 426000?",
    ],
    "de": [
        "Wem gehört die Mühle?",
        "Wer fährt 2024 Straßenbahnen?",
        "Was gibt es hier?",
        "Was ist die Agenda 2010?",
        "Was soll bis 2030 gebaut werden?",
        "War es mehr als 2019?",
        "Wer leitet das Werk seit 25 Jahren?",
        "Wo liegt 10115 Berlin?",
        "Was geschah in den letzten Jahren?",
    ],
    "es": [
        "¿De quién es el molino?",
        "¿Qué se construirá para 2030?",
        "¿Fue más que en 2019?",
        "¿Quién la dirige durante 25 años?",
        "¿Qué hay en la Plaza 25 de Mayo?",
        "¿Qué recibieron en 2000 hogares?",
    ],
    "fr": [
        "À qui est le moulin ?",
        "Que construira-t-on d'ici 2030 ?",
        "Était-ce plus qu'en 2019 ?",
        "Qui habite rue du 8 mai 1945 ?",
        "Que sait-on de la planète Mars ?",
        "Qui la dirige pendant 25 ans ?",
    ],
    "zh": [
        "磨坊属于谁？",
        "到2030年将建什么？",
        "比2019年多吗？",
        "谁领导这家工厂25年了？",
        "这座城市有2000人吗？",
    ],
    "it": ["Chi ha mai visto il mulino?", "Chi guida 2000 persone?"],
}  # fmt: skip


def _written(scope: TimeScope) -> str:
    since, until = scope.since or "", scope.until or ""
    period = since if since == until else f"{since}..{until}"
    return period + "+" * scope.is_recent + "!" * scope.is_publication


def _rows(table: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, str]]:
    return [(question, language, scope) for language, rows in table.items() for question, scope in rows]


def _questions(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(question, language) for language, questions in table.items() for question in questions]


@pytest.mark.parametrize(("question", "language", "scope"), _rows(PERIODS))
def test_a_question_tells_its_period(question: str, language: str, scope: str) -> None:
    assert _written(time_scope(question, language, TODAY)) == scope


@pytest.mark.parametrize(("question", "language"), _questions(RECENT))
def test_a_question_asks_for_the_latest_state(question: str, language: str) -> None:
    assert time_scope(question, language, TODAY) == TimeScope(is_recent=True)


@pytest.mark.parametrize(("question", "language"), _questions(TRAPS))
def test_a_question_that_says_no_time_has_no_scope(question: str, language: str) -> None:
    assert time_scope(question, language, TODAY) == TimeScope()


# Texts made of what periods are made of, and any others.
PIECES = st.sampled_from([
    "2024", "2019", "2030", "3", "31", "Q1", "May", "february", "29", "мая", "квартал", "первом", "3月", "年",
    "in", "since", "before", "after", "by", "than", "the", "с", "до", "по", "к", "последние", "месяца",
    "last", "week", "years", "ago", "today", "winter", "зимой", "上", "去年", "以来", "前", "seit", "vor", "bis",
    "news", "articles", "что писали", "-", ",", "/", ".", "'s", "«", "»", '"', "\0", "２０２４", "٢٠٢٤",
])  # fmt: skip
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=14).map(" ".join), st.lists(PIECES).map("".join))
LANGUAGES = st.sampled_from(["en", "ru", "de", "es", "fr", "zh", "pl", "und", ""])


@settings(deadline=None, max_examples=500)
@given(TEXTS, LANGUAGES, st.dates(date(2000, 1, 1), date(2100, 12, 31)))
@example("31 February 2024", "en", TODAY)
@example("на 29 февраля", "ru", date(2023, 1, 1))
@example("999 years ago", "en", TODAY)
@example("in 2024 " * 250, "en", TODAY)
def test_any_text_has_a_scope_whose_dates_are_in_order_and_begun(text: str, language: str, today: date) -> None:
    scope = time_scope(text, language, today)
    for iso in (scope.since, scope.until):
        assert iso is None or re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", iso)
    if scope.since:
        assert scope.since <= today.isoformat()[: len(scope.since)]
    if scope.since and scope.until:
        precision = min(len(scope.since), len(scope.until))
        assert scope.since[:precision] <= scope.until[:precision]
    assert scope.since or scope.until or not scope.is_publication


@pytest.mark.parametrize("character", ["«", "年", "in ", "May ", "2024 ", "2023年", "last 3 ", "news about from "])
def test_a_hostile_text_takes_no_noticeable_time(character: str) -> None:
    text = (character * 2000)[:2000]
    started = time.process_time()
    for language in ("en", "ru", "zh"):
        time_scope(text, language, TODAY)
    assert time.process_time() - started < 1


def test_a_question_takes_less_than_a_millisecond() -> None:
    rows = _rows(PERIODS)
    for question, language, _ in rows:
        time_scope(question, language, TODAY)
    started = time.process_time()
    for question, language, _ in rows:
        time_scope(question, language, TODAY)
    assert (time.process_time() - started) / len(rows) < 0.001


def test_no_parser_of_dates_is_loaded() -> None:
    program = (
        "import sys, datetime; from rag.time_scope import time_scope\n"
        "time_scope('last week', 'en', datetime.date.today()); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=SUBPROCESS, capture_output=True, text=True, check=True)
    assert "rag.time_scope" in done.stdout.split()
    assert "dateparser" not in done.stdout.split()


@pytest.mark.parametrize(("today", "year"), [(date(2024, 3, 1), "2024"), (date(2024, 2, 29), "2023")])
def test_a_month_without_a_year_is_the_latest_that_has_begun(today: date, year: str) -> None:
    assert _written(time_scope("Who won in March?", "en", today)) == f"{year}-03"
