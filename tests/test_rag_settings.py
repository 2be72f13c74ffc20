from pathlib import Path

import pytest

from index.errors import BadRequest
from rag.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAG_SETTINGS", "RAG_INDEX", "RAG_EMBEDDER", "RAG_PASSAGES", "RAG_PER_ARTICLE", "RAG_MIN_CONFIDENCE"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_beats_the_file_and_the_file_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings(tmp_path) == Settings() and Settings().passages == 16
    (tmp_path / "rag.toml").write_text('index = "mine"\npassages = 5\nmin_confidence = 0.7\n')
    assert load_settings(tmp_path) == Settings(index=Path("mine"), passages=5, min_confidence=0.7)
    monkeypatch.setenv("RAG_PASSAGES", "12")
    assert load_settings(tmp_path).passages == 12
    monkeypatch.setenv("RAG_SETTINGS", str(tmp_path / "rag.toml"))
    assert load_settings(Path("elsewhere")).index == Path("mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pasages = 5", "unknown setting 'pasages' in .*rag.toml; known: api_keys_file, at_once, base_url, embedder,"),
        ("passages = 0", "passages is 0; it has to be between 1 and 100"),
        ('passages = "many"', "passages in .*rag.toml is 'many', which is not of type int"),
        ("passages = [1]", "not of type int"),
        ("passages = ", "rag.toml is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rag.toml").write_text(text)
    with pytest.raises(BadRequest, match=message):
        load_settings(tmp_path)


def test_a_settings_file_that_is_named_has_to_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_SETTINGS", str(tmp_path / "none.toml"))
    with pytest.raises(BadRequest, match="does not exist"):
        load_settings(tmp_path)
