// restore.js: <snapshot-index> has a snapshot's files listed once somebody looks at it,
// and reads the page again when that is done; form[data-restore] keeps its review up to
// what is chosen.

import { follow, Refused } from "./poll.js";
import { bytes, count, visible } from "./text.js";

class SnapshotIndex extends HTMLElement {
  #leaving;

  connectedCallback() {
    this.#leaving = new AbortController();
    this.#run(this.#leaving.signal);
  }

  disconnectedCallback() {
    this.#leaving.abort();
  }

  get #path() {
    return `/api/v1/repositories/${encodeURIComponent(this.dataset.repository)}/snapshots/${encodeURIComponent(this.dataset.snapshot)}`;
  }

  async #run(signal) {
    let version = Number(this.dataset.version);
    if (this.dataset.state === "none" && !(await this.#begin(signal))) return;
    const url = (wait) => `${this.#path}?wait=${wait}&if_version=${version}`;
    const take = (detail) => {
      if (detail.version === version && detail.index.state === this.dataset.state) return "wait";
      version = detail.version;
      document.dispatchEvent(new Event("rm:changed"));
      return ["ready", "failed"].includes(detail.index.state) ? "done" : "wait";
    };
    try {
      await follow({ url, take, signal });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }

  // begin asks for the list as its button would; what keeps it back is said beside that.
  async #begin(signal) {
    try {
      const answer = await fetch(`${this.#path}/index`, { method: "POST", headers: { Accept: "application/json" }, credentials: "same-origin", signal });
      if (answer.ok) {
        document.dispatchEvent(new Event("rm:changed"));
        return true;
      }
      const problem = await answer.json();
      this.#say(`It cannot be listed now. ${problem.detail ?? ""}`);
    } catch (error) {
      if (error.name !== "AbortError") this.#say("The server did not answer. Try again.");
    }
    return false;
  }

  #say(text) {
    const note = this.querySelector("[data-says]");
    if (note) note.textContent = text;
  }
}

customElements.define("snapshot-index", SnapshotIndex);

// ---- the review

function words({ paths, files, bytes: size, more }) {
  if (!paths.length) return "nothing picked yet";
  if (more && !files) return `${paths.length} ${paths.length === 1 ? "path" : "paths"}`;
  return `${more ? "at least " : ""}${count(files)} ${files === 1 ? "file" : "files"}, ${bytes(size)}`;
}

function code(path) {
  return Object.assign(document.createElement("code"), { textContent: visible(path) });
}

function review(form, picked) {
  for (const part of form.querySelectorAll("[data-picked]")) part.textContent = words(picked);
  const list = form.querySelector("[data-paths]");
  if (list) {
    const shown = picked.paths.slice(0, 8).flatMap((path) => [code(path), document.createElement("br")]);
    if (picked.paths.length > 8) shown.push(`and ${picked.paths.length - 8} more`);
    list.replaceChildren(...(shown.length ? shown : [Object.assign(document.createElement("span"), { className: "quietly", textContent: "nothing picked yet" })]));
  }
  const files = form.querySelector("[data-picked-files]");
  if (files) files.textContent = picked.paths.length && !picked.more ? ` ${count(picked.files)} ${picked.files === 1 ? "file" : "files"}` : "";
  for (const link of form.querySelectorAll("a[data-snapshot-link]")) link.href = withPaths(link.href, picked.paths);
}

// withPaths lets what is picked be picked in another snapshot too, as far as an address holds it.
function withPaths(href, paths) {
  const url = new URL(href, location.href);
  url.searchParams.delete("path");
  for (const path of paths.slice(0, 20)) url.searchParams.append("path", path);
  return url.pathname + url.search;
}

const longAddress = 6000; // where proxies begin to refuse
let pickedPaths = [];

// remember keeps what is chosen in the address, so that a reload or a way back finds it. A
// dry run has an address of its own, from which the same is made again.
function remember(form) {
  if (form.querySelector("#dry:not(.stale)")) return;
  const url = new URL(form.getAttribute("action"), location.href);
  for (const name of ["repository", "snapshot", "to", "other", "overwrite"]) {
    const value = form.elements[name]?.value;
    if (value) url.searchParams.set(name, value);
  }
  if (form.elements.verify?.checked) url.searchParams.set("verify", "true");
  for (const path of pickedPaths) url.searchParams.append("path", path);
  const address = url.pathname + url.search;
  if (address.length < longAddress) history.replaceState(history.state, "", address);
}

function stale(form) {
  const dry = form.querySelector("#dry");
  if (!dry || dry.classList.contains("stale")) return;
  dry.classList.add("stale");
  dry.removeAttribute("data-live");
  dry.replaceChildren(Object.assign(document.createElement("p"), { className: "note", textContent: "Something else is chosen now than the last dry run was asked about." }));
}

document.addEventListener("rm:picked", ({ target, detail }) => {
  const form = target.closest("form");
  if (!form) return;
  review(form, detail);
  pickedPaths = detail.paths;
  if (!detail.changed) return;
  stale(form);
  remember(form);
});

document.addEventListener("change", ({ target }) => {
  const form = target.closest("form[data-restore]");
  if (!form || !target.name || target.closest("file-tree")) return;
  if (target.name !== "typed") {
    stale(form);
    remember(form);
  }
  const to = form.querySelector("[data-to]");
  const host = form.dataset.host;
  const chosen = form.elements.to?.value;
  const other = form.elements.other?.value || "another host";
  if (to) to.textContent = chosen === "in_place" ? `${host}, where they were` : chosen === "other" ? `${other}, a fresh folder` : `${host}, a fresh folder`;
});
