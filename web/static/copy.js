// copy.js: button[data-copy="id"] copies the text of that element and says so.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  const source = button && document.getElementById(button.dataset.copy);
  if (!source) return;
  const label = button.querySelector("span") ?? button;
  const word = (label.dataset.word ??= label.textContent);
  label.setAttribute("role", "status");
  label.textContent = (await copy(source)) ? "Copied" : "Press Ctrl+C";
  setTimeout(() => (label.textContent = word), 2000);
});

// copy falls back to the selection, which is also what Ctrl+C then takes: the
// clipboard is closed to pages over plain HTTP.
async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}
