// Keeps a page up to date, asks before what cannot be taken back, and knows one key. Without it the page is as it was when it was loaded.
"use strict";

const main = document.querySelector("main[data-live]");
const light = document.getElementById("live");
const proof = document.querySelector("meta[name=proof]")?.content ?? "";

// What the server shows is the same for everybody: the proof that a form is ours is not in it.
const prove = () => {
  for (const field of main.querySelectorAll("input[name=proof]")) field.value = proof;
};

const keyOf = (node) => node.dataset?.key;
const alike = (one, other) => one.nodeName === other.nodeName && !keyOf(one) && !keyOf(other);
const OWN = ["value", "open"]; // attributes that are the viewer's: what they have written, and opened

// Make `old` what `next` is, and leave alone what is so already: focus, what is open, and what somebody is writing stay. An element that
// has a key is known by it, and is not moved unless the order has changed: it would lose the focus.
const become = (old, next) => {
  for (const { name, value } of next.attributes) {
    if (!OWN.includes(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!OWN.includes(name) && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  if (old.matches("input, select")) return;

  const kept = new Set([...next.children].map(keyOf));
  for (const one of [...old.children]) if (keyOf(one) && !kept.has(keyOf(one))) one.remove();
  const named = new Map([...old.children].filter(keyOf).map((one) => [keyOf(one), one]));
  let place = old.firstChild;
  const drop = () => {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  };
  for (const wanted of [...next.childNodes]) {
    const own = keyOf(wanted) && named.get(keyOf(wanted));
    if (own) while (place && place !== own && !keyOf(place)) drop();
    const known = own || (place && alike(place, wanted) ? place : null);
    if (!known) old.insertBefore(wanted, place);
    else if (known === place) place = place.nextSibling;
    else old.insertBefore(known, place);
    if (known && known.nodeType === Node.ELEMENT_NODE) become(known, wanted);
    else if (known && known.data !== wanted.data) known.data = wanted.data;
  }
  while (place) drop();
};

const say = (state, words) => {
  light.hidden = false;
  light.className = `live ${state}`;
  light.textContent = words;
};

const follow = () => {
  const events = new EventSource(main.dataset.live);
  events.addEventListener("open", () => say("on", "live"));
  events.addEventListener("error", () => {
    say("off", "not live");
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 5000);
  });
  events.addEventListener("end", () => location.reload());
  events.addEventListener("page", (event) => {
    const next = document.createElement("main");
    next.innerHTML = JSON.parse(event.data);
    const shell = main.cloneNode(false);
    shell.append(...next.childNodes);
    become(main, shell);
    prove();
    say("on", "live");
  });
  addEventListener("pagehide", () => events.close());
};

if (main) follow();

document.addEventListener("submit", (event) => {
  const sure = event.target.dataset.sure;
  if (sure && !confirm(sure)) event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  const writes = event.target.closest("input, select, textarea");
  if (event.key === "/" && !writes && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.querySelector("input[type=search]")?.focus();
  }
});
