// Small helps that pages do without: the menu on a phone, copying, confirming, rounds of a form.
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
    const add = event.target.closest("[data-add-round]");
    if (add) { addRound(); }
  });
  function addRound() {
    const total = document.getElementById("id_rounds-TOTAL_FORMS");
    const template = document.getElementById("empty-round");
    const list = document.getElementById("rounds");
    const copy = template.innerHTML.replace(/__prefix__/g, total.value);
    list.insertAdjacentHTML("beforeend", copy);
    total.value = String(Number(total.value) + 1);
    const added = list.lastElementChild.querySelector("input, select");
    if (added) { added.focus(); }
  }
  document.addEventListener("submit", function (event) {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) { event.preventDefault(); }
  });
  document.addEventListener("change", function (event) {
    if (event.target.matches("[data-submit-on-change]")) { event.target.form.requestSubmit(); }
  });
})();
