// Drag and drop, and how far the upload is. Without this script the form posts as any other.
(function () {
  "use strict";
  function size(bytes) {
    const kib = bytes / 1024;
    return kib < 1024 ? Math.max(kib, 0.1).toFixed(1) + " KiB" : (kib / 1024).toFixed(1) + " MiB";
  }
  const form = document.querySelector("[data-upload]");
  if (!form) { return; }
  const drop = form.querySelector("[data-drop]");
  const input = form.querySelector("input[type=file]");
  const name = form.querySelector("[data-drop-name]");
  const problem = form.querySelector("[data-upload-error]");
  const progress = form.querySelector("[data-upload-progress]");
  const button = form.querySelector("button[type=submit]");

  function named() {
    const file = input.files[0];
    if (file) { name.textContent = file.name + ", " + size(file.size); }
  }
  input.addEventListener("change", named);
  ["dragenter", "dragover"].forEach(function (kind) {
    drop.addEventListener(kind, function (event) { event.preventDefault(); drop.classList.add("is-over"); });
  });
  ["dragleave", "drop"].forEach(function (kind) {
    drop.addEventListener(kind, function (event) { event.preventDefault(); drop.classList.remove("is-over"); });
  });
  drop.addEventListener("drop", function (event) {
    if (event.dataTransfer.files.length) { input.files = event.dataTransfer.files; named(); }
  });

  function refuse(sentence) {
    problem.textContent = sentence;
    problem.hidden = false;
    progress.hidden = true;
    button.disabled = false;
    problem.scrollIntoView({ block: "nearest" });
  }
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    problem.hidden = true;
    progress.hidden = false;
    button.disabled = true;
    const bar = progress.querySelector("progress");
    const text = progress.querySelector("p");
    const request = new XMLHttpRequest();
    request.open("POST", form.getAttribute("action") || window.location.pathname);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", function (step) {
      if (!step.lengthComputable) { return; }
      const share = Math.round(100 * step.loaded / step.total);
      bar.value = share;
      text.textContent = share < 100 ? share + " % uploaded" : "Being checked";
    });
    request.addEventListener("load", function () {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch (error) { /* an error page */ }
      if (answer.location) { window.location.assign(answer.location); return; }
      refuse(answer.sentence || "The upload failed with status " + request.status + "; try again.");
    });
    request.addEventListener("error", function () { refuse("The connection was lost; try again."); });
    request.send(new FormData(form));
  });
})();
