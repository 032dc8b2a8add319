// text.js makes foreign text safe to look at. Log lines and file names are text
// nodes, never markup; what could hide or turn their letters round is shown.

const LONG = 2000; // characters of a line shown at once

// Control characters, and what steers direction or is not seen at all. The server has the same.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

function show(char) {
  const code = char.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code); // ␀ ␁ … ␛
  if (code === 0x7f) return "\u2421"; // ␡
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

const NBSP = "\u00a0";

// bytes tells a size in binary units, as the server does.
export function bytes(n) {
  if (n < 1024) return n + NBSP + "B";
  let [size, unit] = [n / 1024, 0];
  for (; size >= 1023.5; unit++) size /= 1024;
  return size.toFixed(size >= 99.95 ? 0 : 1) + NBSP + "KMGTPE"[unit] + "iB";
}

// count groups a number's digits.
export const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

// visible returns a name with every unseen character as one that is seen.
export const visible = (text) => text.replace(UNSEEN, show);

// visibleLine does that with a line of a log, in which a tab is space.
export const visibleLine = (text) => text.replace(UNSEEN, (char) => (char === "\t" ? char : show(char)));

// encodePath writes a path as the value of a field or an attribute, as the server does. Pages
// and posted forms change line ends, so a path that has one would come back as another one.
export const encodePath = (path) => path.replace(/[%\r\n]/g, encodeURIComponent);

export const decodePath = (value) => value.replace(/%(?:25|0D|0A)/g, decodeURIComponent);

// write puts a line's text into an element, marking what was searched for. A very
// long line is cut, with a button for the rest.
export function write(element, text, searched = "") {
  const shown = visibleLine(text.length > LONG ? text.slice(0, LONG) : text);
  element.replaceChildren(...marked(shown, searched));
  if (text.length <= LONG) return;
  const rest = document.createElement("button");
  rest.type = "button";
  rest.className = "link";
  rest.textContent = ` … all ${text.length} characters`;
  rest.addEventListener("click", () => element.replaceChildren(visibleLine(text)));
  element.append(rest);
}

function marked(text, searched) {
  if (!searched) return [text];
  const parts = [];
  const [low, needle] = [text.toLowerCase(), searched.toLowerCase()];
  let from = 0;
  // Lower case can have another length than its text; then nothing is marked.
  for (let at = low.length === text.length ? low.indexOf(needle) : -1; at >= 0; at = low.indexOf(needle, from)) {
    const mark = document.createElement("mark");
    mark.textContent = text.slice(at, at + needle.length);
    parts.push(text.slice(from, at), mark);
    from = at + needle.length;
  }
  parts.push(text.slice(from));
  return parts;
}
