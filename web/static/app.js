// app.js starts what every page has: the theme switch, the search key, times that
// stay fresh. The other modules start themselves.

import "./form.js";
import "./copy.js";
import "./live.js";
import "./progress.js";
import "./log.js";
import "./cron.js";
import "./throughput.js";
import "./restore.js"; // listens to tree.js
import "./tree.js";
import { freshen } from "./times.js";

document.documentElement.dataset.script = "";

freshen(document);
setInterval(() => document.hidden || freshen(document), 1000);
document.addEventListener("visibilitychange", () => document.hidden || freshen(document));
document.addEventListener("htmx:after:swap", () => freshen(document));

// The server reads the cookie and writes data-theme, so that no page flashes.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-theme-switch]") || !event.submitter) return;
  event.preventDefault();
  const theme = event.submitter.value;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  for (const button of event.target.querySelectorAll("button[name=theme]")) {
    button.setAttribute("aria-pressed", String(button === event.submitter));
  }
});

// Tabs that have no room scroll: the one that is looked at comes into sight.
for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
  const bar = tab.closest(".tabs");
  bar.scrollLeft = tab.offsetLeft - bar.offsetLeft - (bar.clientWidth - tab.clientWidth) / 2;
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable], dialog")) return;
  const field = document.querySelector("[data-slash]") ?? document.getElementById("search");
  if (!field) return;
  event.preventDefault();
  const menu = document.getElementById("menu");
  if (menu?.contains(field) && !field.checkVisibility()) menu.showPopover();
  field.focus();
  field.select();
});
