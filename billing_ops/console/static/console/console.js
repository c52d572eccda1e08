// Behaviour of the console's own pages. Every page works without it, except that dialogs and charts need it.
(function () {
  "use strict";

  // A form is sent once: the button that was pressed stays, further submits of the same form are swallowed. The server
  // refuses the second one as well; this only spares the person the question.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.method !== "post" || event.defaultPrevented) return;
    if (form.hasAttribute("hx-post")) return; // htmx guards its own forms, see unfold/helpers/dialog.html
    if (form.dataset.sent === "yes") {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    form.dataset.sent = "yes";
    form.setAttribute("aria-busy", "true");
  }, true);
  // A page that comes back out of the browser's memory is a fresh one.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
    }
  });

  // What was typed into a form that is filled in over two pages stays in this tab until it is used or somebody logs out:
  // going back shows it again. A form that the server filled in itself is kept as it came.
  const KEPT = "bo-kept:";
  const values = (form) => Object.fromEntries([...new FormData(form)].filter(([name]) => !["csrfmiddlewaretoken", "form"].includes(name)));
  for (const form of document.querySelectorAll("form[data-keeps], form[data-kept]")) {
    const key = KEPT + (form.dataset.keeps || form.dataset.kept);
    const save = () => sessionStorage.setItem(key, JSON.stringify(values(form)));
    if (form.dataset.keeps) {
      for (const [name, value] of Object.entries(JSON.parse(sessionStorage.getItem(key) || "{}"))) {
        const field = form.elements.namedItem(name);
        if (field && "value" in field) field.value = value;
      }
    } else {
      save();
    }
    form.addEventListener("input", save);
  }
  document.addEventListener("submit", (event) => {
    if (!event.target.action.endsWith("/logout/")) return;
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(KEPT)) sessionStorage.removeItem(key);
  });

  function isTyping(element) {
    return element && (/^(input|textarea|select)$/i.test(element.tagName) || element.isContentEditable);
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(document.activeElement)) {
      const boxes = [...document.querySelectorAll("[data-search-box]")];
      const box = boxes.find((one) => one.offsetParent !== null);
      if (box) {
        event.preventDefault();
        box.focus();
        box.select();
      }
    }
  });

  // The menu on a narrow screen.
  document.addEventListener("click", (event) => {
    const toggle = event.target.closest("[data-menu-toggle]");
    if (toggle) {
      const open = document.body.classList.toggle("bo-menu-open");
      for (const one of document.querySelectorAll("[data-menu-toggle]")) one.setAttribute("aria-expanded", String(open));
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.classList.contains("bo-menu-open")) {
      document.body.classList.remove("bo-menu-open");
      for (const one of document.querySelectorAll("[data-menu-toggle]")) {
        one.setAttribute("aria-expanded", "false");
        if (one.offsetParent !== null) one.focus();
      }
    }
  });

  // Our own dialogs are native: the browser gives them the role, the focus trap and Escape.
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens)?.showModal();
    const closer = event.target.closest("[data-closes]");
    if (closer) closer.closest("dialog")?.close();
  });

  // The theme's dialog: focus goes in when it opens, stays in, and returns to where it came from.
  let opener = null;
  const FOCUSABLE = "a[href], button:not([disabled]), input:not([type=hidden]):not([disabled]), select, textarea, [tabindex='0']";
  const modal = () => document.getElementById("modal-content");
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target?.id === "modal-content") opener = document.activeElement;
  });
  window.addEventListener("console:modal", (event) => {
    if (event.detail) {
      requestAnimationFrame(() => {
        const first = modal()?.querySelector("input:not([type=hidden]), select, textarea, button[type=submit]");
        (first || modal())?.focus();
      });
    } else if (opener) {
      opener.focus();
      opener = null;
    }
  });
  document.addEventListener("keydown", (event) => {
    const box = modal();
    if (event.key !== "Tab" || !box || box.offsetParent === null) return;
    const items = [...box.querySelectorAll(FOCUSABLE)].filter((one) => one.offsetParent !== null);
    if (!items.length) return;
    const first = items[0];
    const last = items[items.length - 1];
    const inside = box.contains(document.activeElement);
    if (event.shiftKey && (!inside || document.activeElement === first)) {
      event.preventDefault();
      last.focus();
    } else if (!event.shiftKey && (!inside || document.activeElement === last)) {
      event.preventDefault();
      first.focus();
    }
  });

  // "Copy" buttons, for text that goes to a customer or into a ticket.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copies]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent.trim());
    button.textContent = "Copied";
  });
})();
