// times.js tells times as seen from now and in the viewer's zone. The steps of
// relative are those of the server's Relative, so that nothing jumps on loading.

const NBSP = "\u00a0";
const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000];

const formats = {
  exact: { weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" },
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  slot: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" },
  moment: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  day: { day: "numeric", month: "short", year: "numeric" },
};
for (const name in formats) {
  formats[name] = new Intl.DateTimeFormat("en-GB", { ...formats[name], hourCycle: "h23" });
}

// A viewer's clock may be wrong: the page says when it was made, by the server's.
const skew = (() => {
  const rendered = document.querySelector("#live time")?.dateTime;
  const loaded = performance.timeOrigin + (performance.getEntriesByType("navigation")[0]?.responseStart ?? 0);
  const off = rendered ? Date.parse(rendered) - loaded : 0;
  return Math.abs(off) > 5 * SECOND ? off : 0;
})();

// now is the server's time in milliseconds.
export const now = () => Date.now() + skew;

export function relative(at, from = now()) {
  const distance = from - at;
  const d = Math.abs(distance);
  if (d < 5 * SECOND) return "just now";
  let text;
  if (d < MINUTE) text = Math.floor(d / SECOND) + NBSP + "s";
  else if (d < HOUR) text = Math.floor(d / MINUTE) + NBSP + "min";
  else if (d < 48 * HOUR) text = Math.floor(d / HOUR) + NBSP + "h";
  else if (d < 60 * DAY) text = Math.floor(d / DAY) + NBSP + "d";
  else return formats.day.format(at);
  return distance < 0 ? "in " + text : text + " ago";
}

// due tells when something is to begin; what has come is due now.
const due = (at) => (at - now() < 5 * SECOND ? "due now" : relative(at));

// clock tells the time of day of an RFC 3339 text.
export const clock = (text) => formats.clock.format(Date.parse(text));

// freshen rewrites the times below root.
export function freshen(root) {
  for (const time of root.querySelectorAll("time[data-relative]")) put(time, relative(Date.parse(time.dateTime)));
  for (const time of root.querySelectorAll("time[data-clock]")) put(time, clock(time.dateTime));
  for (const time of root.querySelectorAll("time[data-due]")) put(time, due(Date.parse(time.dateTime)));
  for (const name of ["moment", "slot"]) {
    for (const time of root.querySelectorAll(`time[data-${name}]`)) put(time, formats[name].format(Date.parse(time.dateTime)).replaceAll(",", ""));
  }
}

function put(time, text) {
  if (time.textContent !== text) time.textContent = text;
}

function explain(event) {
  const time = event.target.closest?.("time[datetime]");
  if (time) time.title = formats.exact.format(Date.parse(time.dateTime));
}
document.addEventListener("pointerover", explain, { passive: true });
document.addEventListener("focusin", explain);
