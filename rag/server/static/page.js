// The panel beside the chat: a citation that is pointed at, or clicked, opens in it with its quote marked.
"use strict";

(() => {
  const POINTED_FOR = 250; // milliseconds before a citation that is only pointed at opens
  const russian = (navigator.languages || [navigator.language]).find((tag) => /^(en|ru)/i.test(tag))?.toLowerCase().startsWith("ru");
  const say = (english, inRussian) => (russian ? inRussian : english);
  let timer = 0;

  const isDark = () => document.body.classList.contains("dark");

  const panel = () => {
    const side = document.getElementById("side");
    if (!side) return null;
    let frame = document.getElementById("article-frame");
    if (!frame) {
      const close = document.createElement("button");
      close.id = "close-article";
      close.type = "button";
      close.textContent = "×";
      close.setAttribute("aria-label", say("Close the article", "Закрыть статью"));
      close.addEventListener("click", closePanel);
      frame = document.createElement("iframe");
      frame.id = "article-frame";
      frame.title = say("Article with the quote marked", "Статья с отмеченной цитатой");
      side.append(close, frame);
    }
    return { side, frame };
  };

  const closePanel = () => {
    document.getElementById("side")?.classList.remove("open");
    document.querySelector("a.cite.shown")?.focus();
    document.querySelectorAll("a.cite.shown").forEach((link) => link.classList.remove("shown"));
  };

  const open = (link) => {
    const parts = panel();
    if (!parts) return;
    const address = new URL(link.getAttribute("href"), location.origin);
    if (address.origin !== location.origin || !address.pathname.startsWith("/articles/")) return;
    address.searchParams.set("panel", "true");
    address.searchParams.set("theme", isDark() ? "dark" : "light");
    if (parts.frame.dataset.address !== address.href) {
      parts.frame.dataset.address = address.href;
      parts.frame.src = address.href;
    }
    parts.side.classList.add("open");
    document.querySelectorAll("a.cite.shown").forEach((other) => other.classList.remove("shown"));
    link.classList.add("shown");
  };

  const citation = (event) => event.target instanceof Element && event.target.closest("a.cite");

  document.addEventListener("click", (event) => {
    const copy = event.target instanceof Element && event.target.closest("a.copy");
    if (copy) {
      event.preventDefault();
      copyAnswer(copy);
      return;
    }
    const link = citation(event);
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    open(link);
    if (matchMedia("(max-width: 768px)").matches) document.getElementById("close-article")?.focus();
  });
  document.addEventListener("mouseover", (event) => {
    clearTimeout(timer);
    const link = citation(event);
    if (link && !link.classList.contains("named") && matchMedia("(hover: hover) and (min-width: 769px)").matches)
      timer = setTimeout(() => open(link), POINTED_FOR);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closePanel();
  });

  const copyAnswer = async (button) => {
    const answer = button.closest(".answer");
    const lines = [answer.querySelector(".text")?.innerText || ""];
    for (const source of answer.querySelectorAll(".source")) {
      const link = new URL(source.querySelector("a.cite").getAttribute("href"), location.origin);
      const number = source.querySelector("a.cite").textContent;
      const title = source.querySelector(".title").textContent;
      lines.push(`[${number}] “${source.querySelector("blockquote").textContent}” (${title}, ${link})`);
    }
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(lines.join("\n"));
      button.textContent = say("Copied", "Скопировано");
    } catch {
      button.textContent = say("The browser forbids copying", "Браузер не разрешает копировать");
    }
    setTimeout(() => (button.textContent = before), 2000);
  };

  // Light or dark: the browser's choice, until the button is pressed.
  const CHOICE = "rag-theme";
  const applyTheme = () => {
    const chosen = localStorage.getItem(CHOICE);
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.body.classList.toggle("dark", dark);
    const frame = document.getElementById("article-frame");
    if (!frame || !frame.src) return;
    const address = new URL(frame.src);
    if (address.searchParams.get("theme") === (dark ? "dark" : "light")) return;
    address.searchParams.set("theme", dark ? "dark" : "light");
    frame.src = frame.dataset.address = address.href;
  };
  const addThemeButton = () => {
    if (document.getElementById("theme") || !document.getElementById("title")) return;
    const button = document.createElement("button");
    button.id = "theme";
    button.type = "button";
    button.textContent = "◐";
    button.setAttribute("aria-label", say("Light or dark", "Светлая или тёмная тема"));
    button.addEventListener("click", () => {
      localStorage.setItem(CHOICE, isDark() ? "light" : "dark");
      applyTheme();
    });
    document.getElementById("title").parentElement.prepend(button);
    applyTheme();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);

  // Names for screen readers, which Gradio leaves out.
  const NAMES = {
    "#question .submit-button": say("Ask", "Спросить"),
    "#question .stop-button": say("Stop", "Остановить"),
  };
  const nameControls = () => {
    for (const [selector, name] of Object.entries(NAMES)) {
      for (const control of document.querySelectorAll(selector)) {
        if (control.getAttribute("aria-label") !== name) control.setAttribute("aria-label", name);
      }
    }
    // Gradio names a message by its raw HTML; without that it is read as it is shown.
    document.querySelectorAll("#chat [data-testid=bot][aria-label]").forEach((bot) => bot.removeAttribute("aria-label"));
  };

  // Gradio makes the page's elements after this runs, and makes them again: watch for what has to be changed in them.
  new MutationObserver(() => {
    document.documentElement.lang = russian ? "ru" : "en";
    addThemeButton();
    nameControls();
    const now = document.querySelector("a.open-now");
    if (now) {
      now.classList.remove("open-now");
      open(now);
    }
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
