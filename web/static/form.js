// form.js: forms answer at once, are sent once, and ask in modal dialogs. Without
// it they are plain forms and the dialogs popovers.

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[popovertarget]");
  const dialog = button && document.getElementById(button.getAttribute("popovertarget"));
  if (!(dialog instanceof HTMLDialogElement)) return;
  event.preventDefault();
  if (button.getAttribute("popovertargetaction") === "hide") return dialog.close();
  dialog.removeAttribute("popover");
  if (!dialog.open) dialog.showModal();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  event.submitter?.setAttribute("aria-busy", "true");
});

// Back from the next page, or swapped in place: the form can be sent again.
function settle() {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
  }
}
window.addEventListener("pageshow", settle);
document.addEventListener("htmx:finally:request", settle);

function hide(box) {
  for (const part of box.form.querySelectorAll('[data-hidden-by]:not([data-hidden-by="source"])')) part.hidden = box.checked;
}
document.addEventListener("change", (event) => event.target.matches("input[data-hides]") && hide(event.target));
document.querySelectorAll("input[data-hides]").forEach(hide);
