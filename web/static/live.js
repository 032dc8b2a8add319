// live.js keeps what a page shows true. Elements with an id and data-live="topic
// topic:id …" are read again from the page's own address when the change feed names
// one of their topics, and morphed, so that focus, typing and selection stay.
//
// One visible tab of the browser, the one that has the lock, holds the request; it
// tells the others by a BroadcastChannel. Where there are no Web Locks (plain HTTP
// that is not loopback), each visible tab asks briefly for itself.

import { always, follow, pause, read, Refused, shown, whileShown } from "./poll.js";
import { freshen, now } from "./times.js";

const LOCK = "rm-changes";
const NET = 60_000; // hints may be lost: look again after this long without one
const APART = 1000; // between two readings of the page

const feed = (wait, topics) => `/api/v1/changes?since=${cursor}&wait=${wait}` + (topics ? `&topics=${topics}` : "");

let cursor = Number(document.body.dataset.cursor);
let current = now(); // when the page was last known to be true
let state = "live";

const regions = () => [...document.querySelectorAll("[data-live][id]")];
const topicsOf = (region) => region.dataset.live.split(/\s+/).filter(Boolean);
const topics = () => [...new Set(regions().flatMap(topicsOf).map((topic) => topic.split(":")[0]))].join(",");

// ---- what a change makes dirty, and reading it again

const dirty = new Set();
let reading = null;

function mark(changes, reset) {
  for (const region of regions()) {
    const wanted = topicsOf(region);
    if (reset || changes.some(({ topic, id }) => wanted.includes(topic) || wanted.includes(`${topic}:${id}`))) dirty.add(region.id);
  }
  if (dirty.size) reading ??= readAgain().finally(() => (reading = null));
}

async function readAgain() {
  while (dirty.size && !document.hidden) {
    const ids = [...dirty];
    dirty.clear();
    try {
      await replace(ids);
    } catch (error) {
      ids.forEach((id) => dirty.add(id));
      if (error instanceof Refused) return;
    }
    await pause(APART);
  }
}

async function replace(ids) {
  const answer = await fetch(document.body.dataset.address ?? location.pathname + location.search, {
    headers: { Accept: "text/html" }, credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(15_000),
  });
  if (answer.redirected || answer.status === 401) return location.reload();
  if (answer.status >= 500) throw new Error(`the page answered ${answer.status}`);
  if (!answer.ok) throw new Refused(answer.status);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ids) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (!old || !fresh || old.isEqualNode(fresh)) continue;
    await window.htmx.swap({ target: old, text: fresh.outerHTML, swap: "outerMorph" });
  }
  freshen(document);
}

// ---- the feed

function receive(answer) {
  if (answer.reset || answer.cursor > cursor) {
    cursor = answer.cursor;
    mark(answer.changes, answer.reset);
  }
  tell("live");
}

const channel = "BroadcastChannel" in window ? new BroadcastChannel(LOCK) : null;
channel?.addEventListener("message", ({ data }) => (data.answer ? receive(data.answer) : tell("reconnecting")));

function lead(signal) {
  return follow({
    signal,
    hold: always,
    url: (wait) => feed(wait),
    take: (answer) => {
      channel?.postMessage({ answer });
      receive(answer);
    },
    lost: () => {
      channel?.postMessage({ lost: true });
      tell("reconnecting");
    },
  });
}

async function alone(signal) {
  await follow({ signal, url: (wait) => feed(wait, topics()), take: receive, lost: () => tell("reconnecting") });
}

// What changed while this page was loading or hidden did not reach it by the channel.
async function catchUp(signal) {
  try {
    receive(await read(feed(0, topics()), 0, signal));
  } catch (error) {
    if (error instanceof Refused) throw error;
    if (!signal.aborted) tell("reconnecting");
  }
}

async function run() {
  for (;;) {
    await shown();
    const signal = whileShown();
    try {
      await catchUp(signal);
      if (!navigator.locks) await alone(signal);
      else await navigator.locks.request(LOCK, { signal }, () => lead(signal));
    } catch (error) {
      if (error instanceof Refused) return tell("stopped");
      if (error.name !== "AbortError") await pause(5000);
    }
  }
}

// ---- what the menu's foot says

const words = { live: ["ok", "ok", "Live"], reconnecting: ["idle", "wait", "Reconnecting"], stopped: ["idle", "idle", "Not live"] };

function tell(next) {
  if (next === "live") current = now();
  if (next !== state || !document.documentElement.dataset.live) {
    state = next;
    document.documentElement.dataset.live = next;
    const [tone, glyph, word] = words[next];
    const label = document.querySelector("#live .state");
    if (label) {
      label.className = `state ${tone}`;
      label.lastElementChild.textContent = word;
      const use = label.querySelector("use");
      use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#g-${glyph}`));
    }
  }
  const time = document.querySelector("#live time");
  if (time) time.dateTime = new Date(current).toISOString();
}

if (Number.isFinite(cursor) && document.getElementById("live")) {
  run();
  setInterval(() => document.hidden || mark([], true), NET);
  document.addEventListener("rm:changed", () => mark([], true)); // another module knows that the page is old
}
