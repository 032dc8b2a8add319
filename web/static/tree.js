// tree.js: <file-tree> shows the files of a snapshot. Folders are read when they are
// opened, by the contract's own lists; without it they are links or buttons that have the
// page made again. What is picked is kept beside the rows, since a folder may be closed
// and a search may show others, and goes along with the form as hidden fields.
//
// Keys: up, down, Home, End; right and left open and close; space picks; a letter goes to
// the next name that begins with it. "rm:picked" tells what is picked.

import { pause, read, Refused } from "./poll.js";
import { bytes, count, decodePath, encodePath, visible } from "./text.js";
import { freshen } from "./times.js";

const SOON = 250; // after the last key of a search
const PAGE = 200;

const below = (path, folder) => path !== folder && (folder === "/" || path.startsWith(folder + "/"));
const pathOf = (row) => decodePath(row.dataset.path);
const filesOf = (entry) => (entry.type === "dir" ? entry.files : 1);

class FileTree extends HTMLElement {
  #picked = new Map(); // path → entry, with files -1 where its size is not known
  #rows = 0;
  #searching = new AbortController();
  #leaving;
  #kept = null; // the tree's rows while a search shows others

  connectedCallback() {
    this.list = this.querySelector(".tree");
    if (!this.list || this.#leaving) return;
    this.#leaving = new AbortController();
    this.blank = this.querySelector("template").content.firstElementChild;
    this.find = this.querySelector("#find");
    this.list.setAttribute("role", "tree");
    this.list.setAttribute("aria-multiselectable", "true");
    for (const field of this.querySelectorAll("[data-picks] input")) {
      const path = decodePath(field.value);
      this.#picked.set(path, { path, type: "other", size: 0, files: -1 });
    }
    for (const row of this.list.children) {
      this.#upgrade(row);
      const box = row.querySelector("input");
      if (box.checked && !box.disabled) this.#picked.set(pathOf(row), this.#entry(row));
    }
    this.list.querySelector("li")?.setAttribute("tabindex", "0");
    this.list.addEventListener("click", (event) => this.#clicked(event));
    this.list.addEventListener("change", (event) => this.#pick(event.target.closest("li"), event.target.checked));
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.#watchSearch();
    this.#show(false);
    this.form = this.closest("form");
  }

  disconnectedCallback() {
    this.#leaving?.abort();
  }

  // ---- rows

  #entry(row) {
    const { type, size, files } = row.dataset;
    return { path: pathOf(row), type, size: Number(size), files: Number(files) };
  }

  #upgrade(row) {
    const { type } = row.dataset;
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", String(Number(row.dataset.level) + 1));
    row.tabIndex = -1;
    const box = row.querySelector("input");
    box.removeAttribute("name");
    for (const control of row.querySelectorAll("input, button, a")) control.tabIndex = -1;
    row.querySelector("label .vh")?.remove(); // aria-checked says it
    const twist = row.querySelector(".twist");
    if (type === "dir" && twist) row.setAttribute("aria-expanded", String("open" in row.dataset));
    twist?.removeAttribute("aria-expanded");
    if (!box.id) {
      box.id = `row${++this.#rows}`;
      row.querySelector("label").htmlFor = box.id;
    }
  }

  #row(entry, level, label) {
    const row = this.blank.cloneNode(true);
    Object.assign(row.dataset, { path: encodePath(entry.path), level, type: entry.type, size: entry.size ?? 0, files: entry.files ?? 0 });
    row.classList.add(`d${Math.min(level, 12)}`);
    const folder = entry.type === "dir";
    const [twist, leaf, name] = [row.querySelector(".twist"), row.querySelector(".leaf"), row.querySelector("label")];
    if (folder && label === undefined) {
      twist.setAttribute("aria-label", visible(entry.path));
      leaf.remove();
    } else twist.remove();
    name.textContent = visible(label ?? entry.name) + (folder ? "/" : "");
    if (entry.lossy) row.dataset.lossy = "";
    const note = entry.lossy ? "comes only with its folder" : entry.type === "symlink" ? "link" : "";
    if (note) name.after(tag(note));
    if (entry.mtime) row.querySelector(".when").append(moment(entry.mtime));
    if (folder) row.querySelector(".files").textContent = count(entry.files ?? 0);
    row.querySelector(".size").textContent = bytes(entry.size ?? 0);
    this.#upgrade(row);
    return row;
  }

  #more(folder, level, token, search) {
    const row = document.createElement("li");
    row.className = `node more d${Math.min(level, 12)}`;
    Object.assign(row.dataset, { level, more: token, path: encodePath(folder) });
    if (search) row.dataset.search = search;
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", String(level + 1));
    row.tabIndex = -1;
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "link", textContent: "Show more", tabIndex: -1 });
    row.append(button);
    return row;
  }

  #address(kind, query) {
    const at = `/api/v1/repositories/${encodeURIComponent(this.dataset.repository)}/snapshots/${encodeURIComponent(this.dataset.snapshot)}`;
    return `${at}/${kind}?${new URLSearchParams(query)}`;
  }

  async #ask(kind, query, signal) {
    try {
      return await read(this.#address(kind, query), 0, signal);
    } catch (error) {
      if (signal?.aborted) return null;
      this.#say(error instanceof Refused ? "This cannot be shown. Load the page again." : "The server did not answer. Try again.");
      return null;
    }
  }

  #say(text) {
    const note = this.querySelector("[data-note]");
    note.textContent = text;
    note.hidden = !text;
    this.querySelector("[data-elsewhere]").hidden = true;
  }

  async #open(row) {
    if (row.getAttribute("aria-expanded") !== "false" || row.getAttribute("aria-busy")) return;
    row.setAttribute("aria-busy", "true");
    const page = await this.#ask("entries", { path: pathOf(row), page_size: PAGE }, this.#leaving.signal);
    row.removeAttribute("aria-busy");
    if (!page || !row.isConnected) return;
    row.setAttribute("aria-expanded", "true");
    this.#say("");
    this.#insert(row, page, pathOf(row), Number(row.dataset.level) + 1);
  }

  #insert(after, page, folder, level) {
    const rows = page.entries.map((entry) => this.#row(entry, level));
    if (page.next_page_token) rows.push(this.#more(folder, level, page.next_page_token));
    after.after(...rows);
    freshen(this.list);
    this.#show(false);
  }

  #close(row) {
    row.setAttribute("aria-expanded", "false");
    const level = Number(row.dataset.level);
    while (row.nextElementSibling && Number(row.nextElementSibling.dataset.level) > level) row.nextElementSibling.remove();
  }

  async #further(row) {
    const { more, search, level } = row.dataset;
    const path = pathOf(row);
    const page = search
      ? await this.#ask("search", { q: search, page_size: PAGE, page_token: more }, this.#leaving.signal)
      : await this.#ask("entries", { path, page_size: PAGE, page_token: more }, this.#leaving.signal);
    if (!page || !row.isConnected) return;
    const rows = page.entries.map((entry) => this.#row(entry, Number(level), search ? entry.path : undefined));
    if (page.next_page_token) rows.push(this.#more(path, Number(level), page.next_page_token, search));
    row.replaceWith(...rows);
    if (rows.length) this.#go(rows[0]);
    freshen(this.list);
    this.#show(false);
  }

  // ---- what is picked

  #cover(path) {
    for (const folder of this.#picked.keys()) if (below(path, folder)) return folder;
    return "";
  }

  #pick(row, on) {
    const path = pathOf(row);
    if (on) {
      for (const other of [...this.#picked.keys()]) if (below(other, path)) this.#picked.delete(other);
      this.#picked.set(path, this.#entry(row));
    } else this.#picked.delete(path);
    this.#show(true);
  }

  // show makes boxes, hidden fields and whoever listens say what is picked.
  #show(changed) {
    for (const row of this.list.children) {
      const box = row.querySelector("input");
      if (!box) continue;
      const path = pathOf(row);
      const covered = this.#cover(path);
      const picked = this.#picked.has(path);
      const partly = !picked && !covered && row.dataset.type === "dir" && [...this.#picked.keys()].some((other) => below(other, path));
      box.checked = picked || covered !== "";
      box.disabled = covered !== "" || "lossy" in row.dataset;
      box.classList.toggle("mixed", partly);
      box.indeterminate = partly;
      row.title = covered ? `Comes with ${visible(covered)}` : "";
      row.setAttribute("aria-checked", partly ? "mixed" : String(box.checked));
    }
    const fields = [...this.#picked.keys()].map((path) => Object.assign(document.createElement("input"), { type: "hidden", name: "path", value: encodePath(path) }));
    this.querySelector("[data-picks]").replaceChildren(...fields);
    const entries = [...this.#picked.values()];
    const known = entries.filter((entry) => entry.files >= 0);
    const detail = { changed, paths: entries.map((entry) => entry.path), files: sum(known, filesOf), bytes: sum(known, (entry) => entry.size), more: known.length < entries.length };
    this.dispatchEvent(new CustomEvent("rm:picked", { bubbles: true, detail }));
  }

  // ---- mouse and keys

  #clicked(event) {
    const row = event.target.closest("li");
    if (!row) return;
    if (row.dataset.more !== undefined) return this.#further(row);
    if (event.target.closest(".twist")) {
      event.preventDefault();
      this.#turn(row);
    }
    this.#go(row, event.target.closest("input") === null);
  }

  #turn(row) {
    if (row.getAttribute("aria-expanded") === "true") this.#close(row);
    else return this.#open(row);
  }

  #go(row, focus = true) {
    for (const other of this.list.querySelectorAll('li[tabindex="0"]')) other.tabIndex = -1;
    row.tabIndex = 0;
    if (focus) row.focus();
  }

  #key(event) {
    const row = event.target.closest("li");
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const level = Number(row.dataset.level);
    const expanded = row.getAttribute("aria-expanded");
    const steps = {
      ArrowDown: () => row.nextElementSibling,
      ArrowUp: () => row.previousElementSibling,
      Home: () => this.list.firstElementChild,
      End: () => this.list.lastElementChild,
      ArrowRight: () => (expanded === "false" ? void this.#open(row) : expanded === "true" && Number(row.nextElementSibling?.dataset.level) > level ? row.nextElementSibling : null),
      ArrowLeft: () => (expanded === "true" ? void this.#close(row) : this.#above(row, level)),
      Enter: () => void (row.dataset.more !== undefined ? this.#further(row) : expanded && this.#turn(row)),
      " ": () => void (row.dataset.more !== undefined ? this.#further(row) : this.#toggle(row)),
    };
    const step = steps[event.key] ?? (/^[^\s/]$/.test(event.key) ? () => this.#named(row, event.key) : null);
    if (!step) return;
    event.preventDefault();
    const next = step();
    if (next) this.#go(next);
  }

  #toggle(row) {
    const box = row.querySelector("input");
    if (box.disabled) return;
    this.#pick(row, !box.checked);
  }

  #above(row, level) {
    for (let other = row.previousElementSibling; other; other = other.previousElementSibling) if (Number(other.dataset.level) < level) return other;
    return null;
  }

  #named(row, letter) {
    const rows = [...this.list.children];
    const from = rows.indexOf(row) + 1;
    return [...rows.slice(from), ...rows.slice(0, from)].find((other) => other.querySelector("label")?.textContent.toLowerCase().startsWith(letter.toLowerCase()));
  }

  // ---- search

  #watchSearch() {
    const clear = this.querySelector("[data-clear]");
    this.find.addEventListener("input", () => this.#search(SOON));
    this.find.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        this.#search(0);
      } else if (event.key === "Escape" && this.find.value) {
        event.preventDefault();
        this.#clear();
      } else if (event.key === "ArrowDown") {
        event.preventDefault();
        this.list.querySelector('li[tabindex="0"]')?.focus();
      }
    });
    this.querySelector("button[data-find]").addEventListener("click", (event) => {
      event.preventDefault();
      this.#search(0);
    });
    if (this.find.value) return; // a search that the server made: its way back is a page
    clear.addEventListener("click", (event) => {
      event.preventDefault();
      this.#clear();
      this.find.focus();
    });
  }

  #clear() {
    this.find.value = "";
    this.#search(0);
  }

  async #search(wait) {
    this.#searching.abort();
    const { signal } = (this.#searching = new AbortController());
    await pause(wait, signal);
    if (signal.aborted) return;
    const q = this.find.value.trim();
    const clear = this.querySelector("[data-clear]");
    if (!q) {
      if (this.#kept) this.list.replaceChildren(...this.#kept);
      this.#kept = null;
      if (clear.tagName === "BUTTON" && clear.type === "button") clear.hidden = true;
      this.#say("");
      return this.#show(false);
    }
    const page = await this.#ask("search", { q, page_size: 100 }, signal);
    if (!page || signal.aborted) return;
    this.#kept ??= [...this.list.children];
    const rows = page.entries.map((entry) => this.#row(entry, 0, entry.path));
    if (page.next_page_token) rows.push(this.#more("", 0, page.next_page_token, q));
    this.list.replaceChildren(...rows);
    if (rows.length) rows[0].tabIndex = 0;
    clear.hidden = false;
    const found = page.entries.length;
    this.#say(!found ? "Nothing is called like that." : `${page.next_page_token ? "The first " : ""}${count(found)} ${found === 1 ? "entry is" : "entries are"} called like that.`);
    if (!found) this.#elsewhere(q);
    freshen(this.list);
    this.#show(false);
  }

  #elsewhere(words) {
    const line = this.querySelector("[data-elsewhere]");
    const patterns = /[*?[/]/.test(words) ? words : `*${words}*`;
    line.firstElementChild.href = `/repositories/${this.dataset.repository}/run/find?${new URLSearchParams({ patterns, ignore_case: "true" })}`;
    line.hidden = false;
  }
}

const sum = (list, of) => list.reduce((total, item) => total + of(item), 0);

function tag(text) {
  return Object.assign(document.createElement("span"), { className: "tag", textContent: text });
}

function moment(at) {
  const time = document.createElement("time");
  time.dateTime = at;
  time.dataset.moment = "";
  return time;
}

customElements.define("file-tree", FileTree);
