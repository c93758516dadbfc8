// Runs before the first paint: the stored choice, else what the system prefers.
(function () {
  "use strict";
  const KEY = "adversarium-theme";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  function stored() {
    try { return localStorage.getItem(KEY); } catch (error) { return null; }
  }
  function apply() {
    const theme = stored() || (dark.matches ? "dark" : "light");
    document.documentElement.setAttribute("data-bs-theme", theme);
    document.documentElement.classList.toggle("dark-mode", theme === "dark");  // Swagger's name for it
    document.dispatchEvent(new CustomEvent("arena:theme", { detail: theme }));
  }
  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("[data-theme-toggle]").forEach(function (button) {
      button.hidden = false;
      button.addEventListener("click", function () {
        const now = document.documentElement.getAttribute("data-bs-theme");
        try { localStorage.setItem(KEY, now === "dark" ? "light" : "dark"); } catch (error) { /* private mode */ }
        apply();
      });
    });
  });
})();
