// log.js: <job-log data-job="ID"> shows a job's log, of any length, by a window of
// lines that moves as one scrolls: follow the end, filter, wrap, link to a line
// (#L123). It replaces the server's list of the last lines (ol.log).

import { follow, read, Refused } from "./poll.js";
import { visibleLine, write } from "./text.js";
import { clock } from "./times.js";

const WINDOW = 3000; // lines in the document at most
const TAIL = 500; // lines read at first
const BACK = 500; // lines read before the first
const FOUND = 2000; // matches shown at most
const NEAR = 200; // pixels from an edge where more is read
const LEFT = 40; // pixels above the end where one has left it

class JobLog extends HTMLElement {
  #leaving = null;
  #reading = null; // ends the reading in progress when another begins
  #following = null; // ends the request for what is new
  #box; // scrolls
  #list; // has the lines
  #foot;
  #controls;
  #first = 0; // numbers of the window's first and last line
  #last = 0;
  #next = { after: 0 }; // where what comes after the window begins: a chunk's number, or a line's
  #ended = false;
  #moving = false; // the window is being moved by reading before or after it

  connectedCallback() {
    this.#leaving = new AbortController();
    this.#build();
    addEventListener("hashchange", () => this.#toHash(), { signal: this.#leaving.signal });
    if (!this.#toHash()) this.#toEnd();
  }

  disconnectedCallback() {
    this.#leaving.abort();
  }

  // ---- its parts

  #build() {
    this.querySelectorAll(".log, .log-tools, .log-foot").forEach((part) => part.remove());
    const filter = make("input", { className: "input", type: "search", placeholder: "Filter lines", ariaLabel: "Filter lines", maxLength: 200 });
    const boxes = [check("Follow", true), check("Wrap", true), check("Warnings only", false)];
    const [stay, wrap, odd] = boxes.map((box) => box.firstChild);
    this.#controls = { filter, follow: stay, wrap, odd };
    const top = make("button", { className: "btn small", type: "button", textContent: "First line" });
    const end = make("button", { className: "btn small", type: "button", textContent: "Last line" });
    const actions = make("span", { className: "actions" }, top, end);
    const tools = make("div", { className: "log-tools" }, filter, ...boxes, actions);
    this.#list = make("ol", {});
    this.#box = make("div", { className: "log", role: "log", tabIndex: 0, ariaLabel: "Log of this job", ariaLive: "off" }, this.#list);
    this.#foot = make("p", { className: "foot log-foot", role: "status" });
    this.append(tools, this.#box, this.#foot);

    let typing;
    filter.addEventListener("input", () => (clearTimeout(typing), (typing = setTimeout(() => this.#choose(), 250))));
    odd.addEventListener("change", () => this.#choose());
    wrap.addEventListener("change", () => this.#box.classList.toggle("long", !this.#controls.wrap.checked));
    stay.addEventListener("change", () => stay.checked && this.#choose());
    top.addEventListener("click", () => this.#toLine(1));
    end.addEventListener("click", () => this.#toEnd());
    this.#box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  #say(text) {
    this.#foot.textContent = text;
  }

  // ---- where to look

  #choose() {
    if (this.#searching()) this.#search();
    else this.#toEnd();
  }

  #searching() {
    return this.#controls.filter.value !== "" || this.#controls.odd.checked;
  }

  #clear() {
    this.#controls.filter.value = "";
    this.#controls.odd.checked = false;
  }

  #toHash() {
    const n = Number(/^#L(\d+)$/.exec(location.hash)?.[1]);
    if (n) this.#toLine(n);
    return n > 0;
  }

  // begin starts a new reading, ending the one before, and empties the list.
  #begin() {
    this.#reading?.abort();
    this.#reading = new AbortController();
    this.#list.replaceChildren();
    this.#first = this.#last = 0;
    this.#ended = false;
    return AbortSignal.any([this.#reading.signal, this.#leaving.signal]);
  }

  async #toEnd() {
    this.#clear();
    this.#controls.follow.checked = true;
    const signal = this.#begin();
    await this.#try(signal, async () => {
      this.#append(await this.#read(`tail=${TAIL}`, signal));
      await this.#followEnd(signal);
    });
  }

  async #toLine(n) {
    this.#clear();
    this.#controls.follow.checked = false;
    const signal = this.#begin();
    await this.#try(signal, async () => {
      this.#append(await this.#read(`from_line=${Math.max(1, n - 100)}`, signal));
      while (this.#last < n && !this.#ended && (await this.#after(signal)));
      const line = this.querySelector(`#L${n}`);
      line?.scrollIntoView({ block: "center" });
      this.querySelector(".here")?.classList.remove("here");
      line?.classList.add("here");
      this.#tell();
    });
  }

  // ---- reading

  #url(query) {
    return `/api/v1/jobs/${encodeURIComponent(this.dataset.job)}/log?${query}`;
  }

  #read(query, signal) {
    return read(this.#url(query), 0, signal);
  }

  async #try(signal, act) {
    try {
      await act();
    } catch (error) {
      if (signal.aborted) return;
      this.#say(error instanceof Refused ? "This log cannot be read." : "The server cannot be reached. Press Last line to try again.");
    }
  }

  #followEnd(signal) {
    if (this.#ended) return this.#tell();
    this.#following?.abort();
    this.#following = new AbortController();
    return follow({
      signal: AbortSignal.any([signal, this.#following.signal]),
      url: (wait) => this.#url(`after_seq=${this.#next.after}&wait=${wait}`),
      lost: () => this.#say("Reconnecting"),
      take: (page) => {
        this.#append(page);
        if (!this.#controls.follow.checked || page.end) return "done";
        return page.lines.length ? "more" : "wait";
      },
    });
  }

  // after reads what comes behind the window; false when there is nothing yet.
  async #after(signal) {
    const page = await this.#read(this.#next.line ? `from_line=${this.#next.line}` : `after_seq=${this.#next.after}`, signal);
    this.#append(page);
    return page.lines.length > 0;
  }

  async #before(signal) {
    const end = this.#first;
    const lines = [];
    let query = `from_line=${Math.max(1, end - BACK)}`;
    for (let last = 0; last < end - 1; ) {
      const page = await this.#read(query, signal);
      if (!page.lines.length) break;
      lines.push(...page.lines.filter((line) => line.n < end));
      last = page.lines.at(-1).n;
      query = `after_seq=${page.next_after_seq}`;
    }
    this.#prepend(lines);
  }

  // ---- the window

  #append(page) {
    const atEnd = this.#controls.follow.checked;
    const fresh = page.lines.filter((line) => line.n > this.#last);
    this.#list.append(...fresh.map((line) => this.#row(line)));
    if (fresh.length) {
      this.#first ||= fresh[0].n;
      this.#last = fresh.at(-1).n;
    }
    this.#next = { after: page.next_after_seq };
    this.#ended = page.end;
    this.#trimTop();
    if (atEnd) this.#box.scrollTop = this.#box.scrollHeight;
    this.#tell();
  }

  #trimTop() {
    const over = this.#list.childElementCount - WINDOW;
    if (over <= 0) return;
    const height = this.#box.scrollHeight;
    for (let i = 0; i < over; i++) this.#list.firstElementChild.remove();
    this.#first = number(this.#list.firstElementChild);
    this.#box.scrollTop -= height - this.#box.scrollHeight;
  }

  #prepend(lines) {
    if (!lines.length) return;
    const [height, top] = [this.#box.scrollHeight, this.#box.scrollTop];
    this.#list.prepend(...lines.map((line) => this.#row(line)));
    this.#box.scrollTop = top + this.#box.scrollHeight - height;
    this.#first = lines[0].n;
    for (let over = this.#list.childElementCount - WINDOW; over > 0; over--) {
      this.#list.lastElementChild.remove();
      this.#last = number(this.#list.lastElementChild);
      this.#next = { line: this.#last + 1 };
      this.#ended = false;
    }
    this.#tell();
  }

  async #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    const below = scrollHeight - scrollTop - clientHeight;
    if (below > LEFT) this.#controls.follow.checked = false;
    if (this.#moving || !this.#first || this.#searching()) return;
    const signal = AbortSignal.any([this.#reading.signal, this.#leaving.signal]);
    this.#moving = true;
    await this.#try(signal, async () => {
      if (scrollTop < NEAR && this.#first > 1) await this.#before(signal);
      else if (below < NEAR && !this.#ended && !this.#controls.follow.checked) await this.#onward(signal);
    });
    this.#moving = false;
  }

  // onward reads behind the window; at the end of all lines it follows again.
  async #onward(signal) {
    if (await this.#after(signal)) return;
    this.#controls.follow.checked = !this.#ended;
    this.#try(signal, () => this.#followEnd(signal)); // goes on after this
  }

  #row(line, searched) {
    const link = make("a", { href: `#L${line.n}`, textContent: line.n, ariaLabel: `Line ${line.n}` });
    const time = make("time", { dateTime: line.at, textContent: clock(line.at) });
    const text = make("span", {});
    write(text, line.text, searched);
    const here = location.hash === `#L${line.n}` ? " here" : "";
    return make("li", { id: `L${line.n}`, className: (line.stream === "stdout" ? "" : line.stream) + here }, link, time, text);
  }

  #tell() {
    if (!this.#first) return this.#say(this.#ended ? "This job wrote no log." : "No lines yet.");
    const words = [`Lines ${this.#first} to ${this.#last}`];
    if (this.#ended) words.push("complete");
    else if (this.#controls.follow.checked) words.push("following");
    this.#say(words.join(", ") + ".");
  }

  // ---- searching: the whole log from its start, and on while it grows

  async #search() {
    const { filter, odd, follow: following } = this.#controls;
    const signal = this.#begin();
    const searched = filter.value.toLowerCase();
    following.checked = false;
    let [seq, looked, found] = [0, 0, 0];
    const take = (page) => {
      for (const line of page.lines) {
        const shown = !odd.checked || line.stream !== "stdout";
        if (!shown || !visibleLine(line.text).toLowerCase().includes(searched) || ++found > FOUND) continue;
        this.#list.append(this.#row(line, searched));
      }
      seq = page.next_after_seq;
      looked += page.lines.length;
      const words = `${found} of ${looked} lines${found > FOUND ? `, the first ${FOUND} shown` : ""}`;
      this.#say(page.end ? `${words}.` : `${words} so far.`);
      if (page.end) return "done";
      return page.lines.length ? "more" : "wait";
    };
    const url = (wait) => this.#url(`after_seq=${seq}&wait=${wait}`);
    await this.#try(signal, () => follow({ url, take, signal, spacing: 0 }));
  }
}

const number = (row) => Number(row.id.slice(1));

function make(name, properties, ...children) {
  const element = document.createElement(name);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

function check(word, on) {
  return make("label", { className: "check" }, make("input", { type: "checkbox", checked: on }), word);
}

customElements.define("job-log", JobLog);
