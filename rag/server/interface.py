"""What the page says about itself, in English and Russian. What it says about an answer is in `rag.messages`."""

from typing import Literal

Language = Literal["en", "ru"]

TEXTS: dict[str, dict[Language, str]] = {
    "title": {"en": "Ask your articles", "ru": "Вопросы к вашим статьям"},
    "ask_tab": {"en": "Ask", "ru": "Вопросы"},
    "articles_tab": {"en": "Articles", "ru": "Статьи"},
    "conversation": {"en": "Conversation", "ru": "Разговор"},
    "question": {"en": "Your question", "ru": "Ваш вопрос"},
    "question_hint": {"en": "Ask in any language …", "ru": "Спросите на любом языке …"},
    "send": {"en": "Ask", "ru": "Спросить"},
    "stop": {"en": "Stop", "ru": "Остановить"},
    "new": {"en": "Start again", "ru": "Начать заново"},
    "export": {"en": "Export", "ru": "Сохранить"},
    "filters": {"en": "Which articles may be used", "ru": "Какие статьи использовать"},
    "from": {"en": "Published on or after", "ru": "Опубликованы не раньше"},
    "to": {"en": "Published on or before", "ru": "Опубликованы не позже"},
    "languages": {"en": "Languages", "ru": "Языки"},
    "sources": {"en": "Sources", "ru": "Источники"},
    "searched_for": {
        "en": "Searched for (the follow-up as it was understood; change it if it was not what you meant)",
        "ru": "Что искали (как понят уточняющий вопрос; исправьте, если имелось в виду другое)",
    },
    "ask_instead": {"en": "Ask this instead", "ru": "Спросить так"},
    "ask_as_written": {"en": "Ask as I wrote it", "ru": "Спросить, как было написано"},
    "comment": {"en": "What was good or wrong with this answer?", "ru": "Что в этом ответе хорошо или не так?"},
    "save_comment": {"en": "Save comment", "ru": "Сохранить отзыв"},
    "thanks": {"en": "Kept on this computer. Thank you!", "ru": "Сохранено на этом компьютере. Спасибо!"},
    "panel_hint": {
        "en": "Point at a number in an answer, or click it: the article opens here with the quote marked.",
        "ru": "Наведите указатель на номер в ответе или нажмите на него: здесь откроется статья с отмеченной цитатой.",
    },
    "find": {"en": "Find by title, address or source", "ru": "Найти по заголовку, адресу или источнику"},
    "list": {"en": "Indexed articles", "ru": "Статьи в индексе"},
    "column_title": {"en": "Title", "ru": "Заголовок"},
    "column_published": {"en": "Date", "ru": "Дата"},
    "column_language": {"en": "Language", "ru": "Язык"},
    "column_source": {"en": "Source", "ru": "Источник"},
    "column_passages": {"en": "Parts", "ru": "Части"},
    "column_added": {"en": "Added", "ru": "Добавлена"},
    "add": {"en": "Add articles", "ru": "Добавить статьи"},
    "files": {
        "en": "Files: .txt .md .html .jsonl",
        "ru": "Файлы: .txt .md .html .jsonl",
    },
    "addresses": {"en": "Addresses of web pages, one a line", "ru": "Адреса страниц, по одному в строке"},
    "read_again": {"en": "Read again from its source", "ru": "Перечитать из источника"},
    "remove": {"en": "Remove", "ru": "Удалить"},
    "remove_sure": {"en": "Yes, remove it", "ru": "Да, удалить"},
    "keep": {"en": "Keep it", "ru": "Оставить"},
    "nothing_given": {
        "en": "Choose files or write addresses first.",
        "ru": "Сначала выберите файлы или впишите адреса.",
    },
    "removed": {"en": "Removed: {}", "ru": "Удалено: {}"},
    "added": {"en": "added", "ru": "добавлено"},
    "updated": {"en": "updated", "ru": "обновлено"},
    "unchanged": {"en": "unchanged", "ru": "без изменений"},
    "skipped": {"en": "skipped", "ru": "пропущено"},
    "fetching": {"en": "Fetching {}", "ru": "Загружается {}"},
    "indexing": {"en": "Indexing: {}", "ru": "Индексируется: {}"},
    "open": {"en": "Read it", "ru": "Прочитать"},
    "left_out": {"en": "What was left out of it", "ru": "Что из неё убрано"},
    "shown_of": {
        "en": "{} of {} articles; click one to read or remove it",
        "ru": "Статей: {} из {}; нажмите на строку, чтобы прочитать или удалить",
    },
    "about": {
        "en": "{answerer} · reads up to {passages} passages for an answer · {articles} articles, {found} passages",
        "ru": "{answerer} · для ответа читает до {passages} фрагментов · статей: {articles}, фрагментов: {found}",
    },
    "reader": {
        "en": "Answers: quoted by the built-in reader, no LLM",
        "ru": "Ответы: цитирует встроенная модель, без LLM",
    },
    "llm": {
        "en": "Answers: written by {}, every sentence checked",
        "ru": "Ответы: пишет {}, каждое предложение проверено",
    },
    "queued": {"en": "Waiting in line, place {}", "ru": "Очередь, место {}"},
    "begun": {"en": "Reading the question", "ru": "Читаю вопрос"},
    "rewriting": {"en": "Completing the question", "ru": "Уточняется вопрос"},
    "searching": {"en": "Searching {:,} passages", "ru": "Поиск по {:,} фрагментам"},
    "reading": {"en": "Reading up to {} of them", "ru": "Чтение до {} из них"},
    "writing": {"en": "The language model writes from {} passages", "ru": "Языковая модель пишет по {} фрагментам"},
    "checking": {"en": "Checking: {}", "ru": "Проверяется: {}"},
    "internal": {
        "en": "An error of the server's; its log has more. Your question is kept.",
        "ru": "Ошибка сервера, подробности в его журнале. Ваш вопрос сохранён.",
    },
    "searched_all": {
        "en": "Searched {passages:,} passages of {articles:,} articles. Closest, but not an answer:",
        "ru": "Просмотрено фрагментов: {passages:,}, статей: {articles:,}. Ближе всего, но не ответ:",
    },
    "nothing_passes": {"en": "No article passes the filters.", "ru": "Ни одна статья не проходит фильтры."},
    "date_unknown": {"en": "date unknown", "ru": "дата неизвестна"},
    "relevance": {"en": "relevance {}%", "ru": "релевантность {}%"},
    "live": {"en": "open the page at the quote", "ru": "открыть страницу на цитате"},
    "permalink": {"en": "link to the quote", "ru": "ссылка на цитату"},
    "confidence": {"en": "Confidence {}%", "ru": "Уверенность {}%"},
    "copy": {"en": "Copy", "ru": "Копировать"},
    "written_by": {
        "en": "Written by {}; every sentence was checked against its quote.",
        "ru": "Написано {}; каждое предложение сверено с цитатой.",
    },
    "seconds": {"en": "{:.1f} s", "ru": "{:.1f} с"},
    "placeholder": {
        "en": "Answers are quoted from your articles word for word. If they do not hold one, it says so.",
        "ru": "Ответы — дословные цитаты из ваших статей. Если ответа в них нет, так и будет сказано.",
    },
    "empty": {
        "en": "There are no articles yet: add some under “Articles”.",
        "ru": "Статей пока нет: добавьте их во вкладке «Статьи».",
    },
}


def said(name: str, language: Language) -> str:
    """Give a text of the page."""
    return TEXTS[name][language]


def language_of(accept_language: str) -> Language:
    """Choose the page's language by a browser's ``Accept-Language`` header: Russian if it comes before English."""
    ranked = []
    for place, part in enumerate(accept_language.split(",")):
        tag, _, weight = part.strip().partition(";q=")
        try:
            ranked.append((-float(weight or 1), place, tag[:2].lower()))
        except ValueError:
            continue
    known = [code for _, _, code in sorted(ranked) if code in ("en", "ru")]
    return "ru" if known[:1] == ["ru"] else "en"
