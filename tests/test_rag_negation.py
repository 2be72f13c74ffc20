import pytest

from rag.negation import denials, refuted


def denied(text: str) -> list[str]:
    return [text[start:end].lower() for start, end in denials(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The plant will not close.", ["not"]),
        ("It isn't open, and won’t be.", ["isn't", "won’t"]),
        ("They cannot go.", ["cannot"]),
        ("Nobody came without a ticket.", ["nobody", "without"]),
        ("No plant will close.", ["no"]),
        ("NEITHER he nor she came.", ["neither", "nor"]),
        ("Завод не закроют.", ["не"]),
        ("Никто не пришёл без билета.", ["никто", "не", "без"]),
        ("Денег нет.", ["нет"]),
        ("Нет денег.", ["нет"]),
        ("Das Werk wird nicht geschlossen.", ["nicht"]),
        ("Kein Kind fährt ohne Karte.", ["kein", "ohne"]),
        ("El museo no abrirá sin luz.", ["no", "sin"]),
        ("Nadie compró ninguna entrada.", ["nadie", "ninguna"]),
        ("L'usine ne fermera pas.", ["pas"]),
        ("Завод ніколи не закриють.", ["ніколи", "не"]),
        ("工厂不会关闭。", ["不"]),
        ("工厂没有关闭。", ["没"]),
        ("工場は閉鎖しない。", ["ない"]),
    ],
)
def test_words_that_deny_are_found_in_each_language(text: str, expected: list[str]) -> None:
    assert denied(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Not only the plant but the mill will close.",
        "It will close no later than May.",
        "A non-profit group runs it.",
        "The repairs cost no less than 20 pounds.",
        "No more than 20 people came, and no fewer than five stayed.",
        "They met in room No. 5.",
        "Закроют не только завод, но и мельницу.",
        "Это не просто завод.",
        "Завод закроют не позднее мая.",
        "Потратят не менее 20 рублей, но не более 40.",
        "Nicht nur das Werk wird geschlossen.",
        "Es kamen nicht mehr als 20 Menschen.",
        "No solo el museo cierra.",
        "No sólo el museo cierra.",
        "La obra costó no menos de 20 euros.",
        "Non seulement l'usine fermera.",
        "不仅工厂会关闭。",
        "参加者不超过20人。",
        "无锡市的无人机很多。",
        "非洲很大，非常热。",
    ],
)
def test_idioms_deny_nothing(text: str) -> None:
    assert denied(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "No, the plant will close.",
        "Нет, завод закроют.",
        "Нет — завод закроют.",
        "«Нет, завод закроют», — сказал он.",
        "Nein, das Werk schließt.",
        "No, el museo cierra.",
        "Non, l'usine fermera.",
        "不，工厂会关闭。",
    ],
)
def test_an_opening_no_answers_and_denies_nothing(text: str) -> None:
    assert denied(text) == []


def test_after_an_opening_no_the_rest_may_deny() -> None:
    assert denied("No, the plant will not close.") == ["not"]
    assert denied("Нет, завод не закроют.") == ["не"]


@pytest.mark.parametrize(
    "text", ["A knot of notes, another nod in the north.", "Небо над Нижним, ничья и безопасность.", "", "20 %", "\0😀"]
)
def test_no_denial_is_seen_inside_other_words(text: str) -> None:
    assert denied(text) == []


def test_spans_are_in_characters_after_an_idiom_too() -> None:
    text = "😀 Not only the mill: the plant will not open."
    ((start, end),) = denials(text)
    assert (text[start:end], start) == ("not", text.rindex("not"))


@pytest.mark.parametrize(
    "text",
    [
        "L'entrée coûte 20 euros par personne.",
        "Die Brücke wurde am 3. Mai eröffnet.",  # Italian "never"
        pytest.param(
            "O museu abre no Rio.",
            marks=pytest.mark.xfail(strict=True, reason='Portuguese "no" (in the) is read as a denial'),
        ),
    ],
)
def test_words_that_deny_in_another_language_only_deny_nothing(text: str) -> None:
    assert denied(text) == []


@pytest.mark.parametrize(
    ("claim", "quote", "word"),
    [
        ("The mayor stole money.", "Police deny that the mayor stole money.", "deny that"),
        ("Завод закроют.", "Слухи о том, что завод закроют, ходят давно.", "Слухи"),
        ("Das Werk schließt.", "Das Werk schließt angeblich.", "angeblich"),
        ("市长辞职。", "市政府否认市长辞职。", "否认"),
    ],
)
def test_what_a_quote_calls_untrue_or_leaves_open_is_told_by_its_word(claim: str, quote: str, word: str) -> None:
    assert refuted(claim, quote) == word
    assert refuted(quote, quote) == refuted(quote, claim) == refuted(claim, claim) == ""


def test_a_claim_that_denies_itself_is_not_refuted() -> None:
    assert refuted("The mayor did not steal money.", "Police deny that the mayor stole money.") == ""
