// poll.js asks the server for what is new, by requests that it holds back until
// there is something. A browser opens six connections to a server over HTTP/1.1,
// for all tabs together, so only a few requests of the whole browser are held
// (by Web Locks); who finds no place asks briefly every two seconds. A hidden page
// asks nothing.

const HOLD = 25; // seconds
const PLACES = ["rm-held-1", "rm-held-2"]; // beside the one of live.js
const BRIEFLY = 2000;
const SPACING = 250; // never more often than this, whatever the server does

// Refused is an answer that asking again does not change.
export class Refused extends Error {
  constructor(status) {
    super(`the server refused: ${status}`);
    this.status = status;
  }
}

// pause resolves after a time, or at once when the signal aborts.
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}

// The time the page is shown now, or was last; a new one begins when it comes back.
let showing = new AbortController();
if (document.hidden) showing.abort();
document.addEventListener("visibilitychange", () => {
  if (document.hidden) showing.abort();
  else showing = new AbortController();
});

// whileShown is a signal that aborts when the page is hidden, or with the signal given.
export const whileShown = (signal) => (signal ? AbortSignal.any([showing.signal, signal]) : showing.signal);

// shown resolves when the page is visible or the signal aborts.
export function shown(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal?.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal?.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal?.addEventListener("abort", look);
    look();
  });
}

// read gets JSON. It throws Refused for what repeating does not mend, and another
// error for what it may: the network, a proxy's page, a server that is starting.
export async function read(path, wait = 0, signal) {
  const limit = AbortSignal.timeout((wait + 15) * 1000);
  const answer = await fetch(path, {
    headers: { Accept: "application/json" },
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    signal: AbortSignal.any([limit, ...(signal ? [signal] : [])]),
  });
  if (answer.status === 401) location.reload(); // the sign-in ended; the page leads there
  if ([400, 401, 403, 404].includes(answer.status)) throw new Refused(answer.status);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}

// held calls ask with the seconds to hold: 25 in a free place, else 0.
async function held(ask) {
  for (const place of navigator.locks ? PLACES : []) {
    const taken = await navigator.locks.request(place, { ifAvailable: true }, async (lock) => lock && { answer: await ask(HOLD) });
    if (taken) return { ...taken, brief: false };
  }
  return { answer: await ask(0), brief: true };
}

// follow asks url(wait) again and again while the page is visible, and hands each
// answer to take, until take returns "done", the signal aborts or the server refuses
// (which it throws). take returns "more" when there may be more at once. What goes
// wrong on the way is told to lost(attempt) and tried again, later each time.
export async function follow({ url, take, signal, lost = () => {}, hold = held, spacing = SPACING }) {
  for (let failed = 0; !signal.aborted; ) {
    await shown(signal);
    const watch = whileShown(signal);
    const begun = Date.now();
    try {
      const { answer, brief } = await hold((wait) => read(url(wait), wait, watch));
      failed = 0;
      const next = await take(answer);
      if (next === "done") return;
      await pause(brief && next !== "more" ? BRIEFLY : Math.max(0, spacing - (Date.now() - begun)), watch);
    } catch (error) {
      if (signal.aborted) return;
      if (watch.aborted) continue; // hidden: not a failure
      if (error instanceof Refused) throw error;
      lost(++failed);
      await pause(Math.min(30_000, 500 * 2 ** failed) * (0.5 + Math.random()), watch);
    }
  }
}

// always is a place of its own, taken by a lock that the caller has.
export const always = async (ask) => ({ answer: await ask(HOLD), brief: false });
