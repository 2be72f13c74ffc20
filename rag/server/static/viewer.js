"use strict";

// Shows the marked passage, and makes links to what the reader selects. Offsets in addresses are code points of the
// article's text; the DOM counts UTF-16 units.

const share = document.getElementById("share");
const button = share?.querySelector("button");
const field = share?.querySelector("input");
const said = document.getElementById("said");
let selected = null; // the Range that the button makes a link to

function codePoints(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** The passage of the article's text that a range covers, {start, end}, without white space around it; or null. */
function passage(range) {
  let start = null;
  let end = null;
  for (const paragraph of document.querySelectorAll("#text > p")) {
    if (!range.intersectsNode(paragraph)) continue;
    const part = document.createRange();
    part.selectNodeContents(paragraph);
    const before = part.cloneRange();
    if (range.compareBoundaryPoints(Range.START_TO_START, part) > 0) {
      part.setStart(range.startContainer, range.startOffset);
    }
    if (range.compareBoundaryPoints(Range.END_TO_END, part) < 0) part.setEnd(range.endContainer, range.endOffset);
    before.setEnd(part.startContainer, part.startOffset);
    const text = part.toString();
    if (!text.trim()) continue;
    const at = Number(paragraph.dataset.start) + codePoints(before.toString());
    start ??= at + codePoints(text) - codePoints(text.trimStart());
    end = at + codePoints(text.trimEnd());
  }
  return start === null ? null : { start, end };
}

function withSpan(address, { start, end }) {
  const url = new URL(address, location.origin);
  url.searchParams.set("start", start);
  url.searchParams.set("end", end);
  url.hash = "";
  return url.href;
}

function offerLink() {
  if (share.contains(document.activeElement)) return; // the button is being pressed, or the address copied
  const selection = document.getSelection();
  const range = selection.rangeCount ? selection.getRangeAt(0) : null;
  const text = document.getElementById("text");
  const isOffered = range && !range.collapsed && range.intersectsNode(text) && range.toString().trim() !== "";
  selected = isOffered ? range.cloneRange() : null;
  share.hidden = !isOffered;
  button.hidden = false;
  field.hidden = true;
  if (isOffered) said.textContent = "";
}

async function makeLink() {
  const span = selected && passage(selected);
  if (!span) return;
  const link = withSpan(location.pathname, span);
  const here = withSpan(location.href, span);
  history.replaceState(null, "", here);
  const isCopied = await copied(link);
  await showMarked(here);
  share.hidden = isCopied;
  button.hidden = true;
  if (isCopied) {
    document.getElementById("quote")?.focus({ preventScroll: true });
    said.textContent = said.dataset.copied;
  } else {
    field.value = link;
    field.hidden = false;
    field.select();
    said.textContent = said.dataset.copy;
  }
}

/** Put a text into the clipboard, if there is one: pages over plain http have none, except on this machine. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Mark the new passage as the server does, the links above the text with it; without the server all stays. */
async function showMarked(address) {
  try {
    const response = await fetch(address);
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
  } catch {
    // the link is made all the same
  }
}

/** Go to a passage named as #120-180. */
function followHash() {
  const named = /^#(\d+)-(\d+)$/.exec(location.hash);
  if (named) location.replace(withSpan(location.href, { start: named[1], end: named[2] }));
}

function scrollToMark() {
  const mark = document.getElementById("quote");
  if (!mark || location.hash) return;
  const { top } = mark.getBoundingClientRect();
  // Not scrollIntoView, which would also scroll the page around a panel.
  if (top < 0 || top > (innerHeight * 2) / 3) scrollTo(0, scrollY + top - innerHeight / 3);
}

scrollToMark();
followHash();
addEventListener("hashchange", followHash);
if (share) {
  document.addEventListener("selectionchange", offerLink);
  button.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the selection
  button.addEventListener("click", makeLink);
}
