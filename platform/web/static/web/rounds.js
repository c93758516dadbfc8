// The form of a tournament: a preset fills the switches at once, title, ε and shares follow what is
// chosen while nobody changed them, settings of other games hide, a round is added in place. Without
// this script the server does the same when the form is sent.
(function () {
  "use strict";
  const form = document.querySelector("[data-rounds]");
  if (!form) { return; }
  const presets = JSON.parse(document.getElementById("presets").textContent);
  const usuals = JSON.parse(document.getElementById("usuals").textContent);

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
  function taskOf(round) {
    return field(round, "task").value || form.querySelector('[name="task"]').value;
  }
  // Offers the norms that the game and the task allow; a norm that they do not gives way to the first.
  function offer(round) {
    const norm = field(round, "norm");
    const pictures = usuals.pictures.includes(taskOf(round));
    const allowed = usuals.games[field(round, "game").value].norms.filter(function (name) {
      return pictures || !usuals.moves.includes(name);
    });
    Array.from(norm.options).forEach(function (option) {
      option.hidden = option.disabled = allowed.length > 0 && !allowed.includes(option.value);
    });
    if (allowed.length > 1 && !allowed.includes(norm.value)) { norm.value = allowed[0]; }
  }
  function settings(choice) {
    const game = usuals.games[choice[0]];
    const epsilons = game.bounded ? usuals.epsilons[choice[1]] || {} : {};
    return {
      title: game.titles[choice[3]],
      epsilons: epsilons[game.norm || choice[2]] || "",
      shares: game.shares,
      examples: usuals.examples[choice[1]] || usuals.examples[""],
    };
  }
  function follow(round) {
    const usual = field(round, "usual");
    const before = usual.value.split("|");
    const game = field(round, "game").value;
    const preset = field(round, "preset");
    const fresh = before.length !== 4;
    if (!fresh && before[0] !== game) {
      if (preset.value === usuals.games[before[0]].preset) { preset.value = usuals.games[game].preset; }
      if (!usuals.games[game].tasks.includes(taskOf(round))) {
        const shared = form.querySelector('[name="task"]').value;
        const fits = usuals.games[game].tasks.includes(shared);
        field(round, "task").value = fits ? "" : usuals.games[game].task;
      }
    }
    offer(round);
    const now = [game, taskOf(round), field(round, "norm").value, preset.value];
    const old = fresh ? { title: "", epsilons: "", shares: "", examples: usuals.examples[""] } : settings(before);
    Object.entries(settings(now)).forEach(function (entry) {
      const input = field(round, entry[0]);
      if (input.value === old[entry[0]]) { input.value = entry[1]; }
    });
    usual.value = now.join("|");
  }
  function explain(round) {
    const game = field(round, "game").value;
    const words = usuals.bounds[game] || usuals.bounds[field(round, "norm").value] || usuals.bounds[""];
    const box = field(round, "epsilons").closest(".field");
    box.querySelector("label").textContent = words[0];
    box.querySelector(".field-help").textContent = words[1];
    field(round, "game").closest(".field").querySelector(".field-help").textContent =
      usuals.games[game].sentence;
  }
  function tell(round) {
    const wanted = presets[field(round, "preset").value];
    const names = Object.keys(wanted).filter(function (name) {
      return !field(round, name).disabled && field(round, name).value !== wanted[name];
    }).map(function (name) {
      return field(round, name).closest(".switch-group").querySelector("label").textContent.toLowerCase();
    });
    const once = names.filter(function (name, place) { return names.indexOf(name) === place; });
    round.querySelector("[data-changed]").textContent =
      once.length ? "differs from the preset in " + once.join(", ") : "as the preset";
  }
  // Offers the values of a switch that the game allows; another gives way to the preset's.
  function offerValues(round, name, allows) {
    const input = field(round, name);
    Array.from(input.options).forEach(function (option) {
      option.hidden = option.disabled = !allows(option.value);
    });
    if (!allows(input.value)) { input.value = presets[field(round, "preset").value][name]; }
  }
  // The seeds of what is judged, where the attack is dealt what is judged; who may move first.
  function offerSwitches(round, game) {
    const known = usuals.games[game];
    offerValues(round, "randomness", function (value) { return value !== "seed" || known.seeds; });
    offerValues(round, "first_mover", function (value) { return known.movers.includes(value); });
  }
  // Settings and switches that the game uses, but that change nothing as the others stand
  // (arena/round_settings.py, arena/round_switches.py).
  function idleSettings(round, game) {
    const bounded = field(round, "epsilons").value.trim() !== "";
    const idle = field(round, "goal").value === "targeted" ? [] : ["target_rule"];
    if (field(round, "norm").value !== "spatial") { idle.push("shifts"); }
    if (game === "backdoor") { idle.push(bounded ? "trigger_area" : "norm"); }
    if (game === "targeted_poisoning" && !bounded) { idle.push("norm"); }
    if (field(round, "probes").value === "none") { idle.push("output"); }
    return idle;
  }
  function fit(round) {
    const game = field(round, "game").value;
    const idle = idleSettings(round, game);
    round.querySelectorAll("[data-games]").forEach(function (input) {
      const setting = input.name.split("-").pop();
      const shown = input.dataset.games.split(" ").includes(game) && !idle.includes(setting);
      input.closest(".field").hidden = !shown;
      input.disabled = !shown;
    });
    const norm = usuals.games[game].normed ? usuals.games[game].norm || field(round, "norm").value : "";
    const claims = game === "certification";
    const task = taskOf(round);
    round.querySelectorAll("[data-house]").forEach(function (box) {
      const plays = box.dataset.house.split(" ").includes(game) &&
        box.dataset.tasks.split(" ").includes(task) &&
        (!norm || box.dataset.norms.split(" ").includes(norm)) &&
        (!claims || !("certifies" in box.dataset) || box.dataset.certifies.split(" ").includes(norm));
      box.disabled = !plays;
      box.closest(".choice").hidden = !plays;
    });
    offerSwitches(round, game);
    explain(round);
    round.querySelectorAll("[data-when]").forEach(function (input) {
      const chosen = input.closest(".switch-group").querySelector("select");
      const shown = input.dataset.when.split(" ").includes(chosen.value);
      if (!shown) { input.value = ""; }
      input.disabled = chosen.disabled;
      input.closest(".field").hidden = !shown;
    });
    round.querySelectorAll(".switch-group").forEach(function (group) {
      group.hidden = group.querySelector("select").disabled;
    });
  }
  function add() {
    const total = document.getElementById("id_rounds-TOTAL_FORMS");
    const list = document.getElementById("rounds");
    const html = document.getElementById("empty-round").innerHTML;
    list.insertAdjacentHTML("beforeend", html.replace(/__prefix__/g, total.value));
    total.value = String(Number(total.value) + 1);
    const added = list.lastElementChild;
    follow(added);
    fit(added);
    added.querySelector("input, select").focus();
    window.htmx.trigger("#preview", "preview");
  }

  form.addEventListener("change", function (event) {
    const changed = event.target.closest("[data-round]");
    if (!changed && event.target.name !== "task") { return; }
    const rounds = changed ? [changed] : form.querySelectorAll("[data-round]");
    rounds.forEach(function (round) {
      follow(round);
      fill(round);
      fit(round);
      tell(round);
    });
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
  document.querySelectorAll("[data-round]").forEach(function (round) {
    offer(round);
    fit(round);
  });
})();
