// progress.js: <job-progress data-job="ID" data-version="N" data-state="running">
// holds a progress element and, as it likes, elements that name what they show:
// data-show="percent phase left bytes files speed errors current at". They are kept as
// the job's last sample says. When the job's state changes, the page is read again.

import { follow, Refused } from "./poll.js";
import { bytes, count, visible } from "./text.js";
import { relative } from "./times.js";

const NBSP = "\u00a0";

function lasting(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)}${NBSP}s`;
  if (seconds < 3600) return `${Math.ceil(seconds / 60)}${NBSP}min`;
  return `${Math.floor(seconds / 3600)}${NBSP}h ${Math.ceil((seconds % 3600) / 60)}${NBSP}min`;
}

const of = (done, total, tell) => (done === undefined ? "" : total ? `${tell(done)} of ${tell(total)}` : tell(done));

// What each data-show tells of a sample.
const shows = {
  percent: (p) => p.percent.toFixed(1) + NBSP + "%",
  left: (p) => (p.eta_s > 0 ? `about ${lasting(p.eta_s)} left` : ""),
  bytes: (p) => of(p.bytes_done, p.bytes_total, bytes),
  files: (p) => of(p.files_done, p.files_total, count),
  speed: (p) => (p.bytes_per_s ? bytes(p.bytes_per_s) + "/s" : ""),
  errors: (p) => count(p.errors ?? 0),
  phase: (p) => visible(p.phase ?? ""),
  at: (p) => relative(Date.parse(p.at)),
};

class JobProgress extends HTMLElement {
  #leaving;

  connectedCallback() {
    this.#leaving = new AbortController();
    this.#run(this.#leaving.signal);
  }

  disconnectedCallback() {
    this.#leaving.abort();
  }

  async #run(signal) {
    const path = `/api/v1/jobs/${encodeURIComponent(this.dataset.job)}`;
    let version = Number(this.dataset.version);
    const url = (wait) => `${path}?wait=${wait}&if_version=${version}`;
    const take = (job) => {
      version = job.version;
      this.#show(job.progress);
      if (this.dataset.state && job.state !== this.dataset.state) {
        this.dataset.state = job.state;
        document.dispatchEvent(new Event("rm:changed"));
      }
      return job.state === "finished" ? "done" : "wait";
    };
    try {
      await follow({ url, take, signal });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }

  #show(progress) {
    if (!progress) return;
    this.dispatchEvent(new CustomEvent("rm:sample", { detail: progress }));
    const bar = this.querySelector("progress");
    if (bar) bar.value = progress.percent;
    for (const element of this.querySelectorAll("[data-show]")) {
      const tell = shows[element.dataset.show];
      if (tell) element.textContent = tell(progress);
    }
    this.querySelector("[data-show=current]")?.replaceChildren(...(progress.current_files ?? []).map(item));
  }
}

function item(path) {
  const line = document.createElement("li");
  line.textContent = visible(path);
  return line;
}

customElements.define("job-progress", JobProgress);
