"""Answers in the terminal: what happens meanwhile, the answer with its quotes, and a conversation."""

import sys
import textwrap
from collections.abc import Iterable

from index.errors import BadRequest
from index.types import Where
from rag import messages
from rag.assistant import Assistant
from rag.types import Answer, Checking, Done, Event, Progress, Turn

_WIDTH = 100
_HELP = """\
Ask in any language; a follow-up such as “And when?” is completed from what was said before.
  /as QUESTION  ask it as it stands, if a follow-up was completed wrongly
  /new          start again
  /quit         leave (or Ctrl-D)
"""
_DOING = {
    "rewriting": "completing the question …",
    "searching": "searching {:,} passages …",
    "reading": "reading up to {} of them …",
    "writing": "the language model writes from {} passages …",
}


def followed(events: Iterable[Event]) -> Answer:
    """Go through the events of an answer and give it; a terminal shows what is being done."""
    shows = sys.stderr is not None and sys.stderr.isatty()
    try:
        for event in events:
            if isinstance(event, Done):
                return event.answer
            if shows and isinstance(event, Progress):
                _show(_DOING[event.stage].format(event.count))
            if shows and isinstance(event, Checking):
                _show(f"checking: {event.text}")
    finally:
        if shows:
            _show("")
    raise AssertionError("the last event is Done")


def _show(text: str) -> None:
    line = textwrap.shorten(" ".join(text.split()), _WIDTH - 20, placeholder=" …") if text else ""
    print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def print_answer(answer: Answer) -> None:
    """Print the answer, then the sentences quoted, then where they are from, then what there is to know beside."""
    language = answer.language
    if answer.standalone != answer.question:
        print(textwrap.fill(f"→ {answer.standalone}", _WIDTH, subsequent_indent="  ") + "\n")
    if answer.status == "partial" and answer.answerer == "reader":
        print(messages.unsure(language))
    print("\n".join(textwrap.fill(line, _WIDTH) for line in answer.text.splitlines()) + "\n")
    for citation in answer.citations:
        quote = f"[{citation.marker}] “{' '.join(citation.quote.split())}”"
        print(textwrap.fill(quote, _WIDTH, initial_indent="  ", subsequent_indent="      "))
        is_foreign = citation.language != language
        foreign = f" ({messages.quoted_in(language, citation.language)})" if is_foreign else ""
        print(f"      {citation.title}{foreign}")
        print(f"      {origin_of(citation.published, citation.uri)}, characters {citation.start}-{citation.end}\n")
    if answer.unsupported:
        print(messages.unsupported(language))
        for sentence in answer.unsupported:
            reason = f"({sentence.verdict}{': ' + sentence.detail if sentence.detail else ''})"
            print(textwrap.fill(f"✗ {sentence.text} {reason}", _WIDTH, initial_indent="  ", subsequent_indent="    "))
        print()
    for note in answer.notes:
        print(textwrap.fill(note, _WIDTH) + "\n")
    print(_footer(answer))


def _footer(answer: Answer) -> str:
    if answer.citations:
        as_of = f"{messages.as_of('en', answer.as_of)} " if answer.as_of else ""
        if answer.answerer != "reader":
            return f"{as_of}Written by {answer.answerer}; every sentence above was checked against its quote."
        return f"{as_of}Confidence {int(100 * answer.confidence)}%; quoted word for word."
    if answer.hits:
        nearest = {hit.article.id: hit.article for hit in answer.hits}
        closest = [f"  - {a.title} ({origin_of(a.published, a.uri)})" for a in list(nearest.values())[:3]]
        return "\n".join(["Closest, but not an answer:", *closest])
    return "No article passes the filters."


def origin_of(published: str | None, uri: str) -> str:
    """Say when and where an article was published."""
    from index.articles import readable

    return f"{published or 'date unknown'}, {readable(uri)}"


def converse(assistant: Assistant, where: Where) -> int:
    """Answer question after question until there are no more; give the exit status."""
    is_asked = sys.stdin.isatty()
    if is_asked:
        import readline  # noqa: F401 - lines can be edited and called back once it is imported

        print(_HELP)
    history: list[Turn] = []
    while True:
        try:
            line = input("> " if is_asked else "").strip()
        except EOFError:
            return 0
        if line in ("/quit", "/exit"):
            return 0
        if line == "/new":
            history = []
        elif line.startswith("/as ") or not line.startswith("/"):
            history = _turn(assistant, where, line, history)
        else:
            print(_HELP)


def _turn(assistant: Assistant, where: Where, line: str, history: list[Turn]) -> list[Turn]:
    stands_alone = line.startswith("/as ")
    question = line.removeprefix("/as ")
    if not question:
        return history
    try:
        answer = followed(assistant.stream(question, where, () if stands_alone else history))
    except BadRequest as error:
        print(f"rag: {error}", file=sys.stderr)
        return history
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return history
    print_answer(answer)
    print()
    return [*history, answer.turn]
