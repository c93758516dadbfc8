// One event stream a page. Fragments name the events they follow in hx-trigger="sse:...";
// without a stream they are polled. Unchanged fragments are left alone, so that focus stays.
(function () {
  "use strict";
  const POLL_MS = 5000;
  const ANNOUNCE_MS = 8000;
  let open = false;
  let wasOpen = false;
  let state = "";
  let told = "";
  let toldAt = 0;
  const last = new WeakMap();

  function followers() {
    return document.querySelectorAll("[data-live]");
  }
  function refresh() {
    followers().forEach(function (element) { window.htmx.trigger(element, "refresh"); });
  }
  function mark(now) {
    state = now;
    document.querySelectorAll("[data-stream-state]").forEach(function (element) {
      element.dataset.streamState = state;
      element.textContent = state === "live" ? "live" : "polling";
    });
  }
  document.addEventListener("htmx:sseOpen", function () {
    if (wasOpen) { refresh(); } // what happened while the stream was away
    open = true;
    wasOpen = true;
    mark("live");
  });
  ["htmx:sseError", "htmx:sseClose"].forEach(function (name) {
    document.addEventListener(name, function () { open = false; mark("polling"); });
  });
  window.setInterval(function () {
    if (!open && !document.hidden && followers().length) { refresh(); }
  }, POLL_MS);

  document.addEventListener("htmx:beforeSwap", function (event) {
    const target = event.detail.target;
    if (!target || !target.hasAttribute("data-live")) { return; }
    if (target.querySelector("details[open] form")) { // somebody may be writing in it
      event.detail.shouldSwap = false;
      return;
    }
    if (last.get(target) === event.detail.serverResponse) { event.detail.shouldSwap = false; }
    last.set(target, event.detail.serverResponse);
  });
  document.addEventListener("htmx:afterSettle", function (event) {
    if (state) { mark(state); } // a fresh fragment does not know it
    const source = event.target.querySelector && event.target.querySelector("[data-announce]");
    const text = source && source.dataset.announce;
    const now = Date.now();
    if (!text || text === told || now - toldAt < ANNOUNCE_MS) { return; }
    told = text;
    toldAt = now;
    document.getElementById("announcer").textContent = text;
  });
  document.addEventListener("htmx:responseError", function (event) {
    if (event.detail.xhr.status === 404) { event.target.removeAttribute("data-live"); }
  });
})();
