// cron.js: what helps with times. <cron-preview data-cron="id" data-zone="id"
// data-objective="id"> tells how the text of those fields is read and when it fires
// next, by the contract's own reading; button[data-cron] fills the field in;
// datalist#zones gets the names of zones; and what says data-own-zone starts with the
// viewer's zone. data-most is how many slots are shown, data-empty what an empty field
// means; several of them stand in one form, each with its buttons in a [data-times].

import { pause } from "./poll.js";

const SOON = 300; // after the last key

const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

// span tells seconds as the form takes them: "1 d 2 h".
function span(seconds) {
  const parts = [];
  for (const [size, name] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    if (seconds >= size) parts.push(`${Math.floor(seconds / size)} ${name}`);
    seconds %= size;
  }
  return parts.join(" ");
}

// inZone tells a slot in the schedule's own zone, as the server does.
function inZone(at, zone) {
  const part = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...options }).format(at);
  const day = part({ weekday: "short", day: "numeric", month: "short", year: "numeric" }).replace(",", "");
  const offset = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeZoneName: "longOffset" }).formatToParts(at).find((p) => p.type === "timeZoneName").value;
  return `${day}, ${part({ hour: "2-digit", minute: "2-digit" })} ${offset === "GMT" ? "+00:00" : offset.slice(3)}`;
}

class CronPreview extends HTMLElement {
  #typing = new AbortController();

  connectedCallback() {
    const [cron, zone] = [this.#field("cron"), this.#field("zone")];
    if (!cron || !zone) return;
    if ("ownZone" in this.dataset && zone.value === zone.defaultValue) zone.value = ownZone();
    for (const field of [cron, zone]) field.addEventListener("input", () => this.look(SOON));
    if (zone.value !== zone.defaultValue) this.look(0);
  }

  #field(name) {
    return document.getElementById(this.dataset[name]);
  }

  // look reads what is typed, unless more is typed meanwhile.
  async look(wait) {
    this.#typing.abort();
    const { signal } = (this.#typing = new AbortController());
    await pause(wait, signal);
    if (signal.aborted) return;
    const query = new URLSearchParams({ cron: this.#field("cron").value.trim(), zone: this.#field("zone").value.trim() });
    if (this.dataset.empty && !query.get("cron")) {
      this.removeAttribute("data-wrong");
      return this.#show(this.dataset.empty, [], 0, "");
    }
    try {
      const answer = await fetch(`/api/v1/cron-preview?${query}`, { headers: { Accept: "application/json" }, credentials: "same-origin", cache: "no-store", signal });
      const told = await answer.json();
      if (answer.ok) this.#show(told.words, told.next_runs, told.objective_s, query.get("zone"));
      else this.#show(answer.status === 422 || answer.status === 400 ? told.fields?.[0]?.detail ?? told.detail ?? "This is no time." : "How this is read is not known now.", [], 0, "");
      this.toggleAttribute("data-wrong", answer.status === 422 || answer.status === 400);
    } catch (error) {
      if (error.name !== "AbortError") this.#show("How this is read is not known now.", [], 0, "");
    }
  }

  #show(words, runs, objective, zone) {
    this.querySelector("[data-words]").textContent = words;
    this.querySelector("[data-about]").hidden = !runs.length;
    this.querySelector("[data-in-zone]").textContent = zone;
    this.querySelector("[data-runs]").replaceChildren(...runs.slice(0, this.dataset.most ?? runs.length).map((run) => {
      const line = document.createElement("li");
      line.textContent = inZone(Date.parse(run), zone);
      return line;
    }));
    const field = this.#field("objective");
    if (field && objective > 0) {
      field.placeholder = span(objective);
      const hint = document.getElementById(`${field.id}-hint`);
      if (hint) hint.textContent = `Left out: ${span(objective)}, from the time above.`;
    }
  }
}
customElements.define("cron-preview", CronPreview);

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-cron]");
  const preview = (button?.closest("[data-times]") ?? button?.form)?.querySelector("cron-preview");
  if (!preview) return;
  document.getElementById(preview.dataset.cron).value = button.dataset.cron;
  preview.look(0);
});

function fillZones() {
  const list = document.getElementById("zones");
  if (list && !list.childElementCount) {
    list.append(...["UTC", ...Intl.supportedValuesOf("timeZone")].map((zone) => {
      const option = document.createElement("option");
      option.value = zone;
      return option;
    }));
  }
}

// The offer of a time says whose 02:00 it means.
function ownZones() {
  for (const input of document.querySelectorAll("input[data-own-zone]")) {
    input.value = ownZone();
    const name = input.form.querySelector("[data-zone-name]");
    if (name) name.textContent = ownZone();
  }
}
fillZones();
ownZones();
document.addEventListener("htmx:after:swap", ownZones);
