// Alpine's build without eval does not see globals: what the theme's templates name is registered here.
document.addEventListener("alpine:init", () => {
  Alpine.data("theme", () => ({
    openModal: false,
    filterOpen: false,
    openAllApplications: false,
    init() {
      for (const name of ["openModal", "filterOpen"]) {
        this.$watch(name, (open) => document.body.classList.toggle("overflow-hidden", open));
      }
      this.$watch("openModal", (open) => window.dispatchEvent(new CustomEvent("console:modal", { detail: open })));
    },
  }));
  Alpine.data("body", () => ({ activeTab: "", sidebarMobileOpen: false, sidebarDesktopOpen: true }));
  Alpine.data("searchForm", () => ({ applyShortcut() {} })); // "/" belongs to the one search box, see console.js
});
