"""Other tools over the same questions: what counts as found; and the command, with drivers that run and that fail."""

import ast
import json
from math import inf
from pathlib import Path

import pytest
from conftest import make_article

from eval.gold import Evidence, GoldQuestion, Kind
from eval.peers.__main__ import main
from eval.peers.relevance import FoundPassage, first_rank, holds_half, needs_of, recall, reciprocal_rank
from eval.peers.running import PEERS, Peer, PeerFailed, interpreter

TARN = make_article("file:///tarn.txt", "The town of Tarn has 410 lamps.")
LINZ = make_article("file:///linz.txt", "Die Stadt Linz ersetzt 8.900 Lampen.", language="de")
ARTICLES = {"tarn.txt": TARN, "linz.txt": LINZ}
BOTH = (Evidence("tarn.txt", TARN.text), Evidence("linz.txt", LINZ.text))


def _question(kind: Kind, evidence: tuple[Evidence, ...]) -> GoldQuestion:
    return GoldQuestion("t-1", "How many lamps?", "en", ("410",), evidence, kind)


# Relevance


@pytest.mark.parametrize(
    ("text", "quote", "is_held"),
    [
        ("Before. 0123456789 After.", "0123456789", True),  # the whole quote
        ("it ends with 01234", "0123456789", True),  # 5 of its 10 characters at the passage's end
        ("it ends with 0123", "0123456789", False),  # 4 of 10
        ("56789 it begins with", "0123456789", True),
        ("**01234** 567 89", "0123456789", True),  # markup inside, 5 of 10 in one piece
        ("01 23 45 67 89", "0123456789", False),  # all there, but nowhere half of it together
        ("one\n\n  two\tthree", "one two three", True),
        ("one two", "one\n\n\n\n\n\n\n\n\ntwo", True),
    ],
)
def test_a_passage_is_relevant_if_it_holds_half_of_the_quote_in_one_piece(text: str, quote: str, is_held: bool) -> None:
    assert holds_half(text, quote) == is_held


def test_only_a_passage_of_the_same_article_meets_a_need() -> None:
    (need,) = needs_of(_question("number", BOTH[:1]), ARTICLES)
    copied = FoundPassage(LINZ.uri, TARN.text)
    own = FoundPassage(TARN.uri, f"Lamps. {TARN.text}")
    assert first_rank(need, [copied, own, own], ARTICLES) == 2
    assert first_rank(need, [copied], ARTICLES) == inf


def test_pieces_of_evidence_are_alternatives_but_each_is_needed_by_a_question_of_several_articles() -> None:
    passages = [FoundPassage(TARN.uri, "Tarn"), FoundPassage(LINZ.uri, LINZ.text)]
    (one,) = needs_of(_question("number", BOTH), ARTICLES)
    assert (one.pair, first_rank(one, passages, ARTICLES)) == ("en→de/en", 2)
    each = needs_of(_question("multi-article", BOTH), ARTICLES)
    assert [(need.pair, first_rank(need, passages, ARTICLES)) for need in each] == [("en→en", inf), ("en→de", 2)]


def test_recall_is_the_share_of_needs_and_the_reciprocal_rank_that_of_the_first_one_met() -> None:
    assert [recall([2, inf], depth) for depth in (1, 2, 5)] == [0, 0.5, 0.5]
    assert [reciprocal_rank(ranks, 10) for ranks in ([2, inf], [inf], [11], [4, 1])] == [0.5, 0, 0, 1]


# The command

DRIVER = """
import json, sys
articles, questions = ([json.loads(line) for line in open(file, encoding="utf-8")] for file in sys.argv[1:3])
out, order = sys.argv[4:]
articles.sort(key=lambda article: article["url"], reverse=order == "descending")
passages = [{"article": article["url"], "text": article["text"]} for article in articles]
slow = 2 if order == "descending" else 3
result = {
    "indexing_seconds": 2.0 * slow, "again_seconds": 0.0, "found": {q["id"]: passages for q in questions},
    "seconds": [0.01 * slow] * len(questions), "peak_mb": 100.0, "versions": {"fake": "1.2"},
}
json.dump(result, open(out, "w"))
"""
TEXTS = {
    "linz.txt": "Die Stadt Linz ersetzt bis Ende 2026 rund 8.900 Lampen. Das hat der Gemeinderat beschlossen.",
    "lune.txt": "The village of Lune has 35 lamps. It wants more of them by the end of next year, says its mayor.",
    "tarn.txt": "The town of Tarn has 410 lamps. Ninety of them are lit all night, says the mayor of the town.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with articles, gold questions and a driver."""
    (tmp_path / "articles").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "articles" / name).write_text(f"{text}\n", "utf-8")
    tarn = {"article": "tarn.txt", "quote": "The town of Tarn has 410 lamps."}
    lune = {"article": "lune.txt", "quote": "The village of Lune has 35 lamps."}
    linz = {"article": "linz.txt", "quote": "Die Stadt Linz ersetzt bis Ende 2026 rund 8.900 Lampen."}
    rows: list[dict[str, object]] = [
        {"id": "1", "answers": ["410"], "evidence": [tarn], "kind": "number"},
        {"id": "2", "answers": ["445"], "evidence": [tarn, lune], "kind": "multi-article"},
        {"id": "3", "answers": ["8.900"], "evidence": [linz], "kind": "number"},
        {"id": "4", "answers": [], "evidence": [], "kind": "unanswerable"},
        {"id": "5", "answers": ["35"], "evidence": [lune], "kind": "follow-up", "history": ["Has Lune lamps?"]},
    ]
    lines = [json.dumps(row | {"question": f"Question {row['id']}?", "language": "en"}) for row in rows]
    (tmp_path / "gold.jsonl").write_text("\n".join(lines), "utf-8")
    (tmp_path / "driver.py").write_text(DRIVER, "utf-8")
    return tmp_path


def _run(folder: Path, peers: list[Peer], *options: str) -> int:
    """Run the command; give its exit status."""
    arguments = [str(folder / "gold.jsonl"), "--articles", str(folder / "articles"), "--venvs", str(folder / "venvs")]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json", str(folder / "table.json"), *options], peers)
    return int(end.value.code or 0)


def test_figures_of_drivers_that_run_are_in_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Each lists the articles by name for any question: 1 and 2 need the last one, 2 also the second, 3 the first.
    peers = [Peer(n, folder / "driver.py", variant=n) for n in ("ascending", "descending")]
    peers[1] = Peer("tutorial", folder / "driver.py", variant="descending")
    assert _run(folder, peers, "--rounds", "2") == 0
    table = json.loads((folder / "table.json").read_text("utf-8"))
    assert table["tutorial"]["figures"] == pytest.approx(
        {
            "recall@1": (1 + 1 / 2 + 0) / 3,
            "recall@5": 1,
            "MRR@10": (1 + 1 + 1 / 3) / 3,
            "recall@1 within a language (3)": 2 / 3,
            "recall@1 across languages (1)": 0,
            "indexing, s": 4,
            "indexing again, s": 0,
            "a question, p50, ms": 20,
            "memory at its peak, MB": 100,
            "characters of a passage": sum(map(len, TEXTS.values())) / 3,
        }
    )
    assert table["ascending"]["figures"]["recall@1"] == pytest.approx(1 / 3)
    assert table["ascending"]["figures"]["MRR@10"] == pytest.approx((1 / 3 + 1 / 2 + 1) / 3)
    low, high = table["tutorial"]["recall@1, 95 %"]
    assert 0 <= low <= 0.5 <= high <= 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 questions")
    assert lines[1].split() == ["ascending", "tutorial"]
    by_name = {line[:30].strip(): line[30:].split() for line in lines}
    assert by_name["recall@1"] == ["0.333", "0.67x", "0.500", "1.00x"]
    assert by_name["indexing, s"] == ["6.000", "1.50x", "4.000", "1.00x"]
    assert by_name["indexing again, s"] == ["0.000", "0.000"]  # no ratio to nothing
    assert "tutorial: fake 1.2" in lines


def test_a_driver_that_fails_is_reported_and_the_others_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.py").write_text("import sys; sys.exit('no room for the index')", "utf-8")
    (folder / "silent.py").write_text("", "utf-8")
    peers = [Peer(name, folder / f"{name}.py") for name in ("broken", "silent")]
    assert _run(folder, [*peers, Peer("works", folder / "driver.py", variant="ascending")], "--rounds", "2") == 1
    said = capsys.readouterr()
    assert said.err.count("broken is left out: exit status 1: no room for the index\n") == 1
    assert said.err.count("silent is left out: it wrote no result") == 1
    assert list(json.loads((folder / "table.json").read_text("utf-8"))) == ["works"]
    assert said.out.splitlines()[1].split() == ["works"]


def test_a_tool_that_cannot_be_installed_is_reported_in_one_line_and_the_others_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "lost.txt").write_text("--no-index\nno-such-package-anywhere==1.0\n", "utf-8")
    lost = Peer("lost", folder / "driver.py", folder / "lost.txt", "ascending")
    assert _run(folder, [lost, Peer("works", folder / "driver.py", variant="ascending")]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert line.startswith("lost is left out: exit status 1: ERROR: No matching distribution found for no-such-package")
    assert list(json.loads((folder / "table.json").read_text("utf-8"))) == ["works"]
    with pytest.raises(PeerFailed):  # half an installation is none
        interpreter(lost, folder / "venvs")


def test_if_all_fail_there_is_no_table_but_no_crash_either(folder: Path) -> None:
    (folder / "silent.py").write_text("", "utf-8")
    assert _run(folder, [Peer("silent", folder / "silent.py")]) == 1
    assert json.loads((folder / "table.json").read_text("utf-8")) == {}


def test_what_is_installed_in_these_versions_is_not_installed_again(tmp_path: Path) -> None:
    requirements = tmp_path / "tool.txt"
    requirements.write_text("--no-index\nno-such-package-anywhere==1.0\n", "utf-8")
    (tmp_path / "venvs" / "tool").mkdir(parents=True)
    (tmp_path / "venvs" / "tool" / "installed.txt").write_text(requirements.read_text("utf-8"), "utf-8")
    peer = Peer("tool", tmp_path / "driver.py", requirements)
    assert interpreter(peer, tmp_path / "venvs") == tmp_path / "venvs" / "tool" / "bin" / "python"


# The tools


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.requirements], ids=lambda peer: peer.name)
def test_a_tool_stands_alone_in_exact_versions(peer: Peer) -> None:
    assert peer.requirements
    lines = peer.requirements.read_text("utf-8").splitlines()
    assert "torch==2.13.0" in lines
    assert [line for line in lines if "==" not in line] == []
    tree = ast.parse(peer.driver.read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported
    assert not {name.split(".")[0] for name in imported} & {"eval", "index", "rag", "tests", "ui"}
