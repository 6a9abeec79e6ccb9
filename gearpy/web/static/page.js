// Keeps the part of the page that is marked as live up to date: the server sends it anew whenever
// it changes.  Marked boxes stay marked, and what is being typed in is elsewhere on the page.
"use strict";

const live = document.querySelector("[data-live]");

function show(html) {
  const marked = new Set([...live.querySelectorAll("input:checked")].map((box) => box.value));
  const focused = live.contains(document.activeElement)
    ? [...live.querySelectorAll("a, button, input")].indexOf(document.activeElement)
    : -1;
  live.innerHTML = html;
  for (const box of live.querySelectorAll("input[type=checkbox]")) {
    box.checked = marked.has(box.value);
  }
  if (focused >= 0) {
    [...live.querySelectorAll("a, button, input")][focused]?.focus();
  }
}

if (live) {
  const source = new EventSource(location.href);
  source.addEventListener("live", (event) => show(event.data));
  source.addEventListener("gone", () => source.close());
  source.addEventListener("open", () => document.body.classList.remove("stale"));
  source.addEventListener("error", () => document.body.classList.add("stale"));
}
