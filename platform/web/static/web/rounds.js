// The form of a tournament: a preset fills the switches at once, settings of other games hide, a
// round is added in place. Without this script the server does the same when the form is sent.
(function () {
  "use strict";
  const form = document.querySelector("[data-rounds]");
  if (!form) { return; }
  const presets = JSON.parse(document.getElementById("presets").textContent);

  function field(round, name) {
    return round.querySelector('[name$="-' + name + '"]');
  }
  function fill(round) {
    const preset = field(round, "preset").value;
    const before = presets[field(round, "filled").value] || {};
    Object.entries(presets[preset]).forEach(function (entry) {
      const input = field(round, entry[0]);
      if (input.value === before[entry[0]]) { input.value = entry[1]; }
    });
    field(round, "filled").value = preset;
  }
  function tell(round) {
    const wanted = presets[field(round, "preset").value];
    const names = Object.keys(wanted).filter(function (name) {
      return field(round, name).value !== wanted[name];
    }).map(function (name) {
      return field(round, name).closest(".switch-group").querySelector("label").textContent.toLowerCase();
    });
    const once = names.filter(function (name, place) { return names.indexOf(name) === place; });
    round.querySelector("[data-changed]").textContent =
      once.length ? "differs from the preset in " + once.join(", ") : "as the preset";
  }
  function fit(round) {
    const game = field(round, "game").value;
    const targeted = field(round, "goal").value === "targeted";
    round.querySelectorAll("[data-games]").forEach(function (input) {
      let shown = input.dataset.games.split(" ").includes(game);
      if (shown && input.name.endsWith("-target_rule")) { shown = targeted; }
      input.closest(".field").hidden = !shown;
      input.disabled = !shown;
    });
    round.querySelectorAll("[data-house]").forEach(function (box) {
      const plays = box.dataset.house.split(" ").includes(game);
      if (!plays) { box.checked = false; }
      box.closest(".choice").hidden = !plays;
    });
    round.querySelectorAll("[data-when]").forEach(function (input) {
      const chosen = input.closest(".switch-group").querySelector("select").value;
      const shown = input.dataset.when.split(" ").includes(chosen);
      if (!shown) { input.value = ""; }
      input.closest(".field").hidden = !shown;
    });
  }
  function add() {
    const total = document.getElementById("id_rounds-TOTAL_FORMS");
    const list = document.getElementById("rounds");
    const html = document.getElementById("empty-round").innerHTML;
    list.insertAdjacentHTML("beforeend", html.replace(/__prefix__/g, total.value));
    total.value = String(Number(total.value) + 1);
    const added = list.lastElementChild;
    fit(added);
    added.querySelector("input, select").focus();
    window.htmx.trigger("#preview", "preview");
  }

  form.addEventListener("change", function (event) {
    const round = event.target.closest("[data-round]");
    if (!round) { return; }
    if (event.target.name.endsWith("-preset")) { fill(round); }
    fit(round);
    tell(round);
  });
  form.addEventListener("click", function (event) {
    if (event.target.closest("[data-add-round]")) {
      event.preventDefault();
      add();
    } else if (event.target.closest("[data-preview]")) {
      event.preventDefault();
      window.htmx.trigger("#preview", "preview");
    }
  });
  document.querySelectorAll("[data-round]").forEach(fit);
})();
