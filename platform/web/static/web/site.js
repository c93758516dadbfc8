// Small helps that pages do without: the menu on a phone, copying, confirming.
(function () {
  "use strict";
  document.addEventListener("click", function (event) {
    const menu = event.target.closest("[data-menu]");
    if (menu) {
      const open = menu.getAttribute("aria-expanded") === "true";
      menu.setAttribute("aria-expanded", String(!open));
      return;
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const field = document.getElementById(copy.dataset.copy);
      field.select();
      const done = function () { copy.textContent = "Copied"; };
      if (navigator.clipboard) { navigator.clipboard.writeText(field.value).then(done, function () {}); }
      return;
    }
  });
  document.addEventListener("keydown", function (event) {
    const menu = document.querySelector('[data-menu][aria-expanded="true"]');
    if (event.key === "Escape" && menu) {
      menu.setAttribute("aria-expanded", "false");
      menu.focus();
    }
  });
  // A form that came back begins where it is to be mended.
  document.addEventListener("DOMContentLoaded", function () {
    const wrong = document.querySelector('main [aria-invalid="true"]');
    if (wrong) { wrong.focus(); }
  });
  document.addEventListener("submit", function (event) {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) { event.preventDefault(); }
  });
  document.addEventListener("change", function (event) {
    if (event.target.matches("[data-submit-on-change]")) { event.target.form.requestSubmit(); }
  });
})();
