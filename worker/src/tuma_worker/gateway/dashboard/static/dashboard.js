// Keeps a page up to date, asks before what cannot be taken back, and knows one key. Without it the page is as it was when it was loaded.
"use strict";

const main = document.querySelector("main[data-live]");
const light = document.getElementById("live");
const proof = document.querySelector("meta[name=proof]")?.content ?? "";

// What the server shows is the same for everybody: the proof that a form is ours is not in it.
const prove = () => {
  for (const field of main.querySelectorAll("input[name=proof]")) field.value = proof;
};

// Make `old` what `next` is, and leave alone what is so already: focus, what is open, and what somebody is writing stay.
const become = (old, next) => {
  for (const { name, value } of next.attributes) {
    if (name !== "value" && name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "value" && name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  if (old.tagName === "INPUT" || old.tagName === "SELECT") return;
  const named = new Map([...old.children].filter((one) => one.dataset.key).map((one) => [one.dataset.key, one]));
  let place = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    const known = wanted.dataset?.key ? named.get(wanted.dataset.key) : place && alike(place, wanted) ? place : null;
    if (!known) {
      old.insertBefore(wanted, place);
      continue;
    }
    if (known === place) place = place.nextSibling;
    else old.insertBefore(known, place);
    if (known.nodeType === Node.ELEMENT_NODE) become(known, wanted);
    else if (known.data !== wanted.data) known.data = wanted.data;
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
};

const alike = (one, other) => one.nodeName === other.nodeName && !one.dataset?.key === !other.dataset?.key && !one.dataset?.key;

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
