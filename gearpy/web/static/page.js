// Keeps the part of the page that is marked as live up to date: the server sends it anew whenever
// it changes.  What somebody has marked, selected, focused or scrolled to stays as it is, and what
// is being typed in is elsewhere on the page.
"use strict";

const AGAIN_MS = 5000;

const live = document.querySelector("[data-live]");
let held = null; // the newest of what came while some of what is shown was selected
let pressed = false; // on something of it: a click needs what it began on
let source = null;
let gone = false; // what was looked at is no more
let later = 0;

// What an element is, wherever it stands by now.
function identity(element) {
  const { form, name, value } = element;
  return JSON.stringify([
    element.closest("[data-row]")?.dataset.row,
    element.getAttribute("href"),
    name && [name, value],
    !name && form && [form.getAttribute("action"), ...new FormData(form)],
  ]);
}

function found(what) {
  return [...live.querySelectorAll("a, button, input")].find((one) => identity(one) === what);
}

function isSelected() {
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.getRangeAt(0).intersectsNode(live);
}

function show(html) {
  held = pressed || isSelected() ? html : null;
  if (held !== null) {
    return;
  }
  const boxes = [...live.querySelectorAll("input:checked")].map(identity);
  const focused = live.contains(document.activeElement) ? identity(document.activeElement) : null;
  const scrolled = [...live.querySelectorAll(".wide")].map((table) => table.scrollLeft);
  live.innerHTML = html;
  for (const box of boxes.map(found)) {
    if (box) {
      box.checked = true;
    }
  }
  if (focused !== null) {
    found(focused)?.focus({ preventScroll: true });
  }
  live.querySelectorAll(".wide").forEach((table, number) => {
    table.scrollLeft = scrolled[number] ?? 0;
  });
}

function say(state) {
  document.body.classList.toggle("stale", state === "stale");
  document.body.classList.toggle("full", state === "full");
}

function listen() {
  quit();
  if (document.hidden || gone) {
    return;
  }
  const mine = new EventSource(location.href);
  source = mine;
  source.addEventListener("live", (event) => {
    say("");
    show(event.data);
  });
  source.addEventListener("gone", () => {
    gone = true;
    say("");
    quit();
  });
  source.addEventListener("full", () => {
    say("full");
    quit();
    later = setTimeout(listen, AGAIN_MS);
  });
  source.addEventListener("error", () => {
    say("stale");
    // A browser tries again by itself, but not where it was answered something else.
    if (source === mine && mine.readyState === EventSource.CLOSED) {
      later = setTimeout(listen, AGAIN_MS);
    }
  });
}

function quit() {
  clearTimeout(later);
  source?.close();
  source = null;
}

// What came of an action is told once: its key is of no use in a bookmark.
const address = new URL(location.href);
if (address.searchParams.has("told")) {
  address.searchParams.delete("told");
  history.replaceState(null, "", address);
}

if (live) {
  // A browser has six connections with a server, for all its tabs: a hidden one must take none.
  document.addEventListener("visibilitychange", listen);
  const release = () => {
    if (held !== null) {
      show(held);
    }
  };
  document.addEventListener("selectionchange", release);
  document.addEventListener("pointerdown", (event) => {
    pressed = live.contains(event.target);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, () => {
      // Behind the click that follows.
      setTimeout(() => {
        pressed = false;
        release();
      });
    });
  }
  listen();
}

const no = document.querySelector("a.no");
if (no) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      no.click();
    }
  });
}
