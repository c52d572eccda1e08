// Runs before the first paint: light, dark or the system's choice, remembered in this browser.
(function () {
  "use strict";
  const KEY = "adminTheme";
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      const stored = JSON.parse(localStorage.getItem(KEY));
      return ["light", "dark"].includes(stored) ? stored : "auto";
    } catch {
      return "auto";
    }
  }

  function apply() {
    const theme = chosen();
    const dark = theme === "dark" || (theme === "auto" && system.matches);
    document.documentElement.classList.toggle("dark", dark);
    document.documentElement.classList.toggle("light", !dark);
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === theme));
    }
  }

  apply();
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (button) {
      localStorage.setItem(KEY, JSON.stringify(button.dataset.themeChoice));
      apply();
    }
  });
})();
