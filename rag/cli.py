"""The command line: rag add, ask, chat, serve and the rest; ``rag --help`` lists them."""

import argparse
import io
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.errors import BadRequest, RagError
from rag.settings import Settings, load_settings

if TYPE_CHECKING:  # the commands import what they need: --help and errors come at once
    from eval.command import Asked
    from index.article_index import ArticleIndex
    from index.build import Progress, Report
    from index.types import Where
    from rag.assistant import Assistant

USAGE_ERROR = 2
_WIDTH = 100
_SHOWN = 20  # skipped inputs in a summary
_EXAMPLES = """\
examples:
  rag add news/ report.txt            index files and folders; again, it takes in only what changed
  rag ask "Who signed the agreement?" a cited answer, in any language
  rag ask --batch questions.jsonl     many questions, one JSON answer a line
  rag chat                            question after question; a follow-up knows what was said
  rag ask "…" --llm openai:qwen3 --base-url http://127.0.0.1:8080/v1
                                      an LLM writes, and every sentence is checked before it is shown
  rag search "agreement" -k 5         the passages alone
  rag eval --gold questions.jsonl --out run-1
                                      how good the answers are, with a report
  rag serve                           the chat page on http://127.0.0.1:7860, and doors for other programs

The index is the folder ./rag-index, or what --index, RAG_INDEX or "index" in rag.toml says.
"""
_COMPARE = (
    "For every figure how much more B has than A, with the 95 % interval of the difference (the same questions drawn "
    "for both), and the questions that went from right to wrong or the other way."
)
_ABLATE = (
    "Retrieval by meaning alone, by words alone, by both fused by rank, and ours; each with and without the model that "
    "reads; one table."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 for success (an abstention is one), 1 for problems found, 2 for what could not be done."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what cannot be shown is replaced; other programs speak UTF-8
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help()
        return USAGE_ERROR
    try:
        settings = load_settings()
        if options.index:
            settings = replace(settings, index=Path(options.index))
        given = ("llm", "base_url", "host", "port")
        values = {name: getattr(options, name) for name in given if getattr(options, name, None) is not None}
        settings = replace(settings, **values)
        status: int = options.run(options, settings)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except RagError as error:
        print(f"rag: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("rag: stopped; what was reported as done is kept", file=sys.stderr)
        return 130
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            print(
                f"rag: {error.filename or 'cannot write the output'}: {error.strerror or error}"[:300], file=sys.stderr
            )
            return USAGE_ERROR
        # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rag",
        description="Ask questions of your own articles: cited answers, in any language, with no LLM and no network.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: Callable[[Any, Settings], int], text: str, more: str = "") -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {more}".strip())
        made.add_argument("--index", metavar="DIR", help="the index folder (default: ./rag-index)")
        made.set_defaults(run=run)
        return made

    add = command(
        "add",
        _add,
        "index files and folders",
        "Takes .txt, .md, .html and .jsonl (one article a line: title, text, url, published). What is unchanged is "
        "passed over; of a changed article only the changed passages are embedded.",
    )
    add.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    add.add_argument("--sync", action="store_true", help="also remove articles whose file has gone from these folders")
    add.add_argument(
        "--embedder",
        metavar="NAME_OR_PATH",
        help="sentence-transformers model for a new index (default: multilingual-e5-small)",
    )

    remove = command("remove", _remove, "remove articles", "Names them by file, folder, URL or article id.")
    remove.add_argument("names", nargs="+", metavar="ARTICLE")

    status = command("status", _status, "say what the index holds")
    status.add_argument("--json", action="store_true", help="print one JSON object")

    check = command("check", _check, "verify the index", "Exit status 1 if something is wrong.")
    check.add_argument("--repair", action="store_true", help="remove what is damaged and build the rest anew")

    reembed = command("reembed", _reembed, "make all vectors anew with another embedding model")
    reembed.add_argument("--embedder", required=True, metavar="NAME_OR_PATH")

    search = command("search", _search, "find passages")
    search.add_argument("question", metavar="QUESTION")
    search.add_argument("-k", type=int, default=10, help="how many passages (default: 10)")
    _add_filters(search)
    search.add_argument("--json", action="store_true", help="print one JSON object")

    ask = command(
        "ask", _ask, "answer a question with citations", "Quotes the articles, or says that they do not answer."
    )
    ask.add_argument("question", nargs="?", metavar="QUESTION")
    ask.add_argument(
        "--batch", metavar="FILE.jsonl", help='questions, one {"id", "question"} a line ("-" for standard input)'
    )
    _add_filters(ask)
    _add_chat_model(ask)
    ask.add_argument("--json", action="store_true", help="print one JSON object")

    chat = command(
        "chat",
        _chat,
        "ask question after question",
        "A follow-up (“And when?”) is completed from what was said before.",
    )
    _add_filters(chat)
    _add_chat_model(chat)

    serve = command(
        "serve",
        _serve,
        "serve the chat page and the doors for other programs",
        "A JSON API (described at /docs), an OpenAI-compatible one at /v1, MCP at /mcp. What another process adds to "
        "the index meanwhile is found at once.",
    )
    serve.add_argument("--host", help="the address to listen on (default: 127.0.0.1, this machine alone)")
    serve.add_argument("--port", type=int, help="the port, 0 for any that is free (default: 7860)")
    _add_chat_model(serve)

    mcp = command("mcp", _mcp, "serve MCP clients over stdin and stdout", "Tools: ask, search, get_article.")
    _add_chat_model(mcp)

    _add_evaluation(command)

    feedback = command("feedback", _feedback, "sum up what was said about answers on the page")
    feedback.add_argument(
        "--gold", type=Path, metavar="DIR", help="write what was approved as gold questions, and the rest as drafts"
    )

    show = command("show", _show, "print an indexed article as it is cited")
    show.add_argument("article", metavar="ARTICLE", help="file, URL or article id")
    return parser


def _add_evaluation(command: Callable[..., argparse.ArgumentParser]) -> None:
    evaluation = command(
        "eval",
        _eval,
        "measure how good the answers are, on questions with known answers",
        "Asks gold questions, and writes every answer, figures with 95 % intervals and an HTML report into a folder. "
        "Interrupted, it goes on where it stopped when called again.",
    )
    _add_gold(evaluation)
    evaluation.add_argument(
        "--judge", metavar="PROVIDER:MODEL", default="", help="a chat model that judges answers too"
    )
    evaluation.add_argument("--judge-url", metavar="URL", default="", help="its address, if OpenAI-compatible")
    _add_chat_model(evaluation)
    parts = evaluation.add_subparsers(title="more", metavar="[compare | ablate]")
    compare = parts.add_parser("compare", help="compare two runs, question by question", description=_COMPARE)
    compare.add_argument("before", type=Path, metavar="A", help="the folder of a run")
    compare.add_argument("after", type=Path, metavar="B", help="the folder of another run of the same questions")
    compare.set_defaults(run=_compare)
    ablate = parts.add_parser(
        "ablate",
        help="answer with parts left out: what is each worth?",
        description=_ABLATE,
        argument_default=argparse.SUPPRESS,  # what was said before "ablate" counts
    )
    ablate.add_argument("--index", metavar="DIR", help="the index folder (default: ./rag-index)")
    _add_gold(ablate)
    ablate.set_defaults(run=_ablate)


def _add_gold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gold",
        metavar="FILE",
        help="questions with answers and evidence, one JSON object a line (README, “Measure it”); or a public set: "
        "squad:PATH, clapnq:PATH, rgb:PATH, ru_rag_test:PATH",
    )
    parser.add_argument(
        "--articles",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="index these files for the run, instead of using an index that is there",
    )
    parser.add_argument("--out", type=Path, metavar="RUN", help="the folder to write into")
    parser.add_argument("--limit", type=int, metavar="N", help="ask the first N questions alone")
    parser.add_argument("--lenient", action="store_true", help="leave out questions whose evidence is not in the index")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="since", metavar="DATE", help="only articles published on or after (2024, 2024-03 or 2024-03-15)"
    )
    parser.add_argument("--to", dest="until", metavar="DATE", help="only articles published on or before")
    parser.add_argument(
        "--language",
        action="append",
        default=[],
        metavar="CODE",
        help="only articles in this language (may be repeated)",
    )
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="NAME",
        help="only articles from this site or folder (may be repeated)",
    )


def _add_chat_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--llm", metavar="PROVIDER:MODEL", help='let a chat model write the answer, as in openai:qwen3; "" for none'
    )
    parser.add_argument(
        "--base-url",
        metavar="URL",
        help="its address: any OpenAI-compatible server (llama.cpp, vLLM, Ollama, LM Studio)",
    )


def _where(options: argparse.Namespace) -> "Where":
    from index.types import Where

    languages = tuple(code.lower() for code in options.language)
    sources = tuple(name.rstrip("/") for name in options.source)
    try:
        return Where(options.since, options.until, languages, sources)
    except ValueError as error:
        raise BadRequest(str(error)) from error


# Measuring


def _eval(options: argparse.Namespace, settings: Settings) -> int:
    asked = _asked(options)
    from eval.command import evaluate

    return evaluate(asked, options.out, settings, options.judge, options.judge_url)


def _compare(options: argparse.Namespace, settings: Settings) -> int:
    _check_extra()
    from eval.compare import compare

    print(compare(options.before, options.after))
    return 0


def _ablate(options: argparse.Namespace, settings: Settings) -> int:
    asked = _asked(options)
    from eval.ablate import ablate

    return ablate(asked, options.out, settings)


def _asked(options: argparse.Namespace) -> "Asked":
    if options.gold is None or options.out is None:
        raise BadRequest("name gold questions and a folder to write into: --gold questions.jsonl --out run-1")
    if options.limit is not None and options.limit < 1:
        raise BadRequest(f"cannot ask {options.limit} questions; --limit has to be 1 or more")
    if options.articles and options.index:
        raise BadRequest("--articles makes an index of its own: leave --index out, or --articles")
    _check_extra()
    from eval.command import Asked

    return Asked(options.gold, options.articles or (), options.limit, options.lenient)


def _check_extra() -> None:
    missing = [name for name in ("ir_measures", "matplotlib", "pymorphy3") if find_spec(name) is None]
    if missing:
        raise BadRequest(f"evaluation needs {', '.join(missing)}: pip install 'rag-articles[eval]'")


# Writing


def _add(options: argparse.Namespace, settings: Settings) -> int:
    from index.article_index import ArticleIndex
    from index.build import add_articles

    embedder = options.embedder or settings.embedder or None
    index = ArticleIndex.open(settings.index, embedder, bulk=True, create=True)
    with _progress_bar() as show:
        report = add_articles(index, options.paths, sync=options.sync, show=show)
    _print_report(report)
    status = index.status()
    held = f"{_count(status.articles, 'article')}, {_count(status.passages, 'passage')}"
    print(f"The index in {status.folder} now holds {held}.")
    return 0 if status.articles else USAGE_ERROR


@contextmanager
def _progress_bar() -> "Iterator[Callable[[Progress], None]]":
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, desc="Indexing", leave=False, dynamic_ncols=True, disable=None) as bar:

        def show(progress: "Progress") -> None:
            bar.total = progress.bytes_total
            report = progress.report
            bar.set_postfix_str(
                f"{report.added + report.updated} articles, {report.passages_embedded} passages embedded", refresh=False
            )
            bar.update(progress.bytes_done - bar.n)

        yield show


def _print_report(report: "Report") -> None:
    from index.articles import readable

    parts = [
        f"{getattr(report, name)} {name}"
        for name in ("added", "updated", "unchanged", "removed")
        if getattr(report, name)
    ]
    parts += [f"{len(report.skipped)} skipped"] if report.skipped else []
    print(f"Articles: {', '.join(parts) or 'none found'}. Passages embedded: {report.passages_embedded}.")
    for skipped in report.skipped[:_SHOWN]:
        print(f"  skipped {readable(skipped.uri)}: {skipped.reason}")
    if len(report.skipped) > _SHOWN:
        print(f"  … and {len(report.skipped) - _SHOWN} more")


def _remove(options: argparse.Namespace, settings: Settings) -> int:
    from index.article_index import ArticleIndex

    index = ArticleIndex.open(settings.index)
    with index.writing():
        found = {name: _find(index, name) for name in options.names}
        unknown = [name for name, ids in found.items() if not ids]
        if unknown:
            raise BadRequest(f"no article called {', '.join(unknown)} in {settings.index}; nothing was removed")
        ids = sorted({i for ids in found.values() for i in ids})
        index.remove(ids)
        index.forget_unused()
    print(f"Removed {_count(len(ids), 'article')}.")
    return 0


def _find(index: "ArticleIndex", name: str) -> list[str]:
    if not name.strip():
        return []  # an unset variable in a script is not the working folder
    by_name = index.find_articles(name) if name.isprintable() else []
    return by_name or index.find_articles(Path(name).resolve().as_uri())


def _reembed(options: argparse.Namespace, settings: Settings) -> int:
    from tqdm import tqdm

    from index.article_index import ArticleIndex
    from index.e5 import say_on_stderr
    from index.embed import open_embedder

    index = ArticleIndex.open(settings.index)
    embedder = open_embedder(options.embedder, say_on_stderr, bulk=True)
    embedder.warm_up()
    with (
        index.writing(),
        tqdm(total=index.status().articles, unit=" articles", desc="Embedding", leave=False, disable=None) as bar,
    ):
        index.reembed(embedder, lambda n: bar.update(n) and None)
        index.forget_unused()
    print(f"The index in {settings.index} now uses {embedder.name}.")
    return 0


# Keeping


def _status(options: argparse.Namespace, settings: Settings) -> int:
    from dataclasses import asdict

    from index.article_index import ArticleIndex

    status = ArticleIndex.open(settings.index).status()
    if options.json:
        print(json.dumps(asdict(status), ensure_ascii=False))
        return 0
    rows = {
        "index": status.folder,
        "articles": f"{status.articles} in {_count(status.passages, 'passage')}",
        "languages": ", ".join(f"{name} {n}" for name, n in status.languages) or "-",
        "sources": ", ".join(f"{name} {n}" for name, n in status.sources[:10])
        + (" …" if len(status.sources) > 10 else "")
        or "-",
        "published": f"{status.earliest or '-'} to {status.latest or '-'}; {status.undated} of unknown date",
        "embedder": status.embedder,
        "on disk": f"{status.bytes / 1e6:.1f} MB",
    }
    for name, value in rows.items():
        print(f"{name:<10} {value}")
    return 0


def _check(options: argparse.Namespace, settings: Settings) -> int:
    from index.article_index import ArticleIndex
    from index.articles import readable

    index = ArticleIndex.open(settings.index)
    problems = index.check()
    for problem in problems:
        print(problem)
    if problems and options.repair:
        with index.writing():
            lost = index.repair()
        for uri in lost:
            print(f"removed {readable(uri)}: add it again")
        problems = index.check()
        print(
            "Repaired."
            if not problems
            else f"Not repaired: {'; '.join(problems)}. Add the articles anew into another folder."
        )
    elif problems:
        print(f"Repair it with: rag check --repair --index {settings.index}")
    else:
        status = index.status()
        print(f"The index is whole: {_count(status.articles, 'article')}, {_count(status.passages, 'passage')}.")
    return 1 if problems else 0


def _show(options: argparse.Namespace, settings: Settings) -> int:
    from index.article_index import ArticleIndex
    from index.articles import readable

    index = ArticleIndex.open(settings.index)
    ids = _find(index, options.article)
    if not ids:
        raise BadRequest(f"no article called {options.article} in {settings.index}")
    for article_id in ids:
        article = index.article(article_id)
        if article is not None:
            about = [article.published or "date unknown", article.language, readable(article.uri), article.id]
            print(f"{article.title}\n{' · '.join(about)}\n\n{article.text}\n")
    return 0


# Serving


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    from rag.server.app import serve

    serve(settings, lambda line: print(line, file=sys.stderr, flush=True), _show_page)
    return 0


def _show_page(address: str) -> None:
    """Say where the page is, and open it if someone sits before this machine's screen."""
    print(f"Open {address} (for programs: {address}/docs). Stop with Ctrl-C.", file=sys.stderr, flush=True)
    has_screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if has_screen and sys.stderr.isatty():
        import webbrowser

        webbrowser.open(address)


def _mcp(options: argparse.Namespace, settings: Settings) -> int:
    import asyncio

    from rag.server.mcp_door import serve_stdio
    from rag.server.service import Service

    asyncio.run(serve_stdio(Service(settings)))
    return 0


def _feedback(options: argparse.Namespace, settings: Settings) -> int:
    from index.article_index import ArticleIndex
    from rag.feedback import FeedbackBook, as_gold, export

    index = ArticleIndex.open(settings.index)
    book = FeedbackBook(index.folder)
    summary = book.summary()
    print(f"{_count(summary.up, 'answer')} approved, {summary.down} not; {_count(summary.commented, 'comment')}.")
    if summary.bad_lines:
        print(f"{_count(summary.bad_lines, 'line')} of {book.path} cannot be read.")
    if options.gold:
        options.gold.mkdir(parents=True, exist_ok=True)
        gold = as_gold(book, index.article)
        questions, drafts = export(gold, options.gold)
        print(f"{_count(len(gold.questions), 'gold question')} in {questions}")
        print(f"{_count(len(gold.drafts), 'draft')}, to be completed, in {drafts}")
    return 0


# Reading


def _open_assistant(settings: Settings) -> "Assistant":
    from rag.assistant import Assistant

    return Assistant.open(settings=settings)


def _search(options: argparse.Namespace, settings: Settings) -> int:
    where = _where(options)
    from rag.records import hit_record
    from rag.terminal import origin_of

    hits = _open_assistant(settings).retrieve(options.question, options.k, where)
    if options.json:
        print(json.dumps({"question": options.question, "hits": [hit_record(hit) for hit in hits]}, ensure_ascii=False))
        return 0
    for hit in hits:
        origin = origin_of(hit.article.published, hit.article.uri)
        answers = "" if hit.relevance is None else f"answers {hit.relevance:.0%}, "
        print(f"{hit.rank:>2}. {hit.article.title} ({origin})  {answers}score {hit.score:.3f}")
        print(textwrap.fill(hit.text, _WIDTH, initial_indent="    ", subsequent_indent="    ") + "\n")
    if not hits:
        print("Nothing found.")
    return 0


def _ask(options: argparse.Namespace, settings: Settings) -> int:
    if (options.question is None) == (options.batch is None):
        raise BadRequest('give a question, as in: rag ask "Who signed the agreement?", or --batch FILE.jsonl')
    where = _where(options)
    if options.batch is not None:
        return _ask_batch(options.batch, where, settings)
    if not any(map(str.isalnum, options.question)):
        raise BadRequest("the question is empty: ask something in words, in any language")
    from rag.records import answer_record
    from rag.terminal import followed, print_answer

    events = _open_assistant(settings).stream(options.question, where)
    answer = followed(events)
    if options.json:
        print(json.dumps(answer_record(answer), ensure_ascii=False))
    else:
        print_answer(answer)
    return 0


def _chat(options: argparse.Namespace, settings: Settings) -> int:
    from rag.terminal import converse

    where = _where(options)
    return converse(_open_assistant(settings), where)


def _ask_batch(name: str, where: "Where", settings: Settings) -> int:
    """Answer one question a line; a line that cannot be answered gives an object with an ``error``."""
    try:
        lines = sys.stdin if name == "-" else Path(name).open(encoding="utf-8-sig", errors="replace")  # noqa: SIM115
    except OSError as error:
        raise BadRequest(f"cannot read {name}: {error.strerror or error}") from error
    assistant = _open_assistant(settings)
    failed = 0
    with lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                record = _batch_record(line, f"{name}, line {number}", assistant, where)
                failed += "error" in record
                print(json.dumps(record, ensure_ascii=False), flush=True)
    if failed:
        print(f'rag: {_count(failed, "line")} of {name} could not be answered; see their "error"', file=sys.stderr)
    return USAGE_ERROR if failed else 0


def _batch_record(line: str, here: str, assistant: "Assistant", where: "Where") -> dict[str, Any]:
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"id": None, "error": f"{here}: not JSON ({getattr(error, 'msg', error)})"}
    if not isinstance(asked, dict) or not isinstance(asked.get("question"), str):
        return {
            "id": asked.get("id") if isinstance(asked, dict) else None,
            "error": f'{here}: needs {{"id", "question"}}',
        }
    from rag.records import answer_record

    try:
        return {"id": asked.get("id"), **answer_record(assistant.ask(asked["question"], where))}
    except BadRequest as error:
        return {"id": asked.get("id"), "error": f"{here}: {error}"}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
