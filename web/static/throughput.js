// throughput.js: <job-throughput hidden> inside a <job-progress> holds an svg of 600 by
// 100 and a place for words; it draws how fast the job has read since the page was opened. Samples are never kept by the server: a line that
// begins now says so.

const MOST = 300; // samples; then every second one goes
const NBSP = "\u00a0";
const [WIDTH, HEIGHT] = [600, 100];

function bytes(n) {
  let [size, unit] = [n / 1024, 0];
  for (; size >= 1023.5; unit++) size /= 1024;
  return size.toFixed(size >= 99.95 ? 0 : 1) + NBSP + "KMGTPE"[unit] + "iB/s";
}

class JobThroughput extends HTMLElement {
  #samples = []; // [ms, bytes per second]
  #last; // the sample before, to reckon by what was done
  #of;

  connectedCallback() {
    this.#of = this.closest("job-progress");
    this.#of?.addEventListener("rm:sample", this);
  }

  disconnectedCallback() {
    this.#of?.removeEventListener("rm:sample", this);
  }

  handleEvent({ detail: progress }) {
    const at = Date.parse(progress.at);
    const last = this.#last;
    if (last && at <= last.at) return;
    this.#last = { at, done: progress.bytes_done ?? 0 };
    const reckoned = last ? (1000 * (this.#last.done - last.done)) / (at - last.at) : undefined;
    const speed = reckoned ?? progress.bytes_per_s;
    if (!(speed >= 0)) return;
    this.#samples.push([at, speed]);
    if (this.#samples.length > MOST) this.#samples = this.#samples.filter((_, i) => i % 2 === 1);
    if (this.#samples.length >= 3) this.#draw();
  }

  #draw() {
    const [first, last] = [this.#samples[0][0], this.#samples.at(-1)[0]];
    const top = Math.max(1024, ...this.#samples.map(([, speed]) => speed));
    const points = this.#samples.map(([at, speed]) => `${((WIDTH * (at - first)) / (last - first)).toFixed(1)},${(HEIGHT * (1 - speed / top)).toFixed(1)}`);
    this.hidden = false;
    const [under, curve] = this.querySelectorAll("polygon, polyline");
    curve.setAttribute("points", points.join(" "));
    under.setAttribute("points", `0,${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`);
    const words = `Read speed since this page was opened: up to ${bytes(top)}, now ${bytes(this.#samples.at(-1)[1])}`;
    this.querySelector("svg").setAttribute("aria-label", words);
    this.querySelector("[data-top]").textContent = `up to ${bytes(top)}`;
  }
}
customElements.define("job-throughput", JobThroughput);
