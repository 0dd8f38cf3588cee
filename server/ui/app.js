// The console's script: live values, keys, dialogs, selection, copy, theme. Every page is whole without it. It must
// never build markup from text, set a style or send a change without the form that the server made. Addresses and
// events: server/src/ui/paths.rs and live.rs.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const one = (selector, from = document) => from.querySelector(selector);
  root.classList.add("js");

  // Ages stay true while the page is open: the same words as Clock::age_words.
  const ageWords = (seconds) => {
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  };
  const tellAges = () => {
    for (const element of all("time[data-age]")) {
      const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(element.dateTime)) / 1000));
      if (seconds >= 90 * 86400) continue;
      const words = ageWords(seconds) + (element.dataset.age === "ago" ? " ago" : "");
      if (element.textContent !== words) element.textContent = words;
    }
  };
  setInterval(tellAges, 10000);

  // Live values change in place; order and rows never move by themselves.
  const live = { source: null, last: 0, lost: 0, paused: false };
  const sayLive = () => {
    let words = "Not live";
    const offset = Number(document.body.dataset.offset || 0) * 1000;
    const time = (at) => new Date(at + offset).toISOString().slice(11, 16);
    if (live.paused) words = "Paused";
    else if (live.last && !live.lost) words = `Live, ${ageWords(Math.floor((Date.now() - live.last) / 1000))} ago`;
    else if (live.lost) words = `Not live since ${time(live.lost)}`;
    for (const state of all("[data-live-state]")) {
      state.classList.toggle("off", Boolean(live.lost) && !live.paused);
      state.classList.toggle("on", Boolean(live.last) && !live.lost && !live.paused);
      one("[data-live-words]", state).textContent = words;
      one("[data-live-pause]", state).textContent = live.paused ? "Go on" : "Pause";
    }
  };
  const setValue = (element, text) => {
    if (element.textContent === text) return;
    element.textContent = text;
    element.classList.remove("just-changed");
    void element.offsetWidth;
    element.classList.add("just-changed");
  };
  const onLive = (event) => {
    live.last = Date.now();
    live.lost = 0;
    for (const [key, text] of Object.entries(JSON.parse(event.data))) {
      for (const element of all("[data-live]")) if (element.dataset.live === key) setValue(element, String(text));
    }
    sayLive();
  };
  const onChanged = (event) => {
    const here = location.pathname;
    const mine = (address) => address === here || (here === "/" && address !== "/audit");
    if (JSON.parse(event.data).some(mine)) for (const note of all("[data-changed]")) note.hidden = false;
  };
  const listen = () => {
    const address = document.body.dataset.events;
    if (!address || live.paused || !window.EventSource || location.protocol === "file:") return;
    live.source = new EventSource(address);
    live.source.addEventListener("live", onLive);
    live.source.addEventListener("changed", onChanged);
    live.source.onerror = () => {
      live.lost = live.lost || Date.now();
      sayLive();
    };
  };
  const silence = () => {
    if (live.source) live.source.close();
    live.source = null;
  };
  if (document.body.dataset.events) {
    listen();
    setInterval(() => {
      if (live.last && !live.lost && Date.now() - live.last > 30000) live.lost = live.last;
      if (live.last || live.lost) sayLive();
    }, 1000);
    addEventListener("pagehide", silence);
    addEventListener("pageshow", (event) => event.persisted && listen());
  }

  // Theme: the server reads the cookie, so the next first paint is right.
  const isDark = () => {
    if (root.dataset.theme) return root.dataset.theme === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const switchTheme = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; SameSite=Lax`;
  };

  // Dialogs: the very form of the act's own page. Its text is kept until it is sent.
  const dialog = one("#act-dialog");
  const kept = new Map();
  const openAct = async (address, opener) => {
    if (!dialog || !dialog.showModal) return location.assign(address);
    let form = kept.get(address);
    if (!form) {
      try {
        const answer = await fetch(address, { headers: { accept: "text/html" }, credentials: "same-origin" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        form = answer.ok && one("form[data-act]", page);
      } catch {
        form = null;
      }
      if (!form) return location.assign(address);
      form = document.importNode(form, true);
      kept.set(address, form);
    }
    dialog.replaceChildren(form);
    dialog.setAttribute("aria-label", one("h1", form).textContent);
    dialog.showModal();
    one("textarea", form).focus();
    dialog.onclose = () => opener && opener.isConnected && opener.focus();
  };

  // Selection of several rows.
  const bulk = one("[data-bulk]");
  const boxes = () => all("[data-row] input[type=checkbox]");
  const tellBulk = () => {
    if (!bulk) return;
    const count = boxes().filter((box) => box.checked).length;
    bulk.classList.toggle("on", count > 0);
    one("[data-bulk-words]", bulk).textContent = `${count} selected`;
    one("[data-bulk-button]", bulk).textContent = `Quarantine ${count}…`;
    const every = one("[data-select-all]");
    if (every) every.checked = count > 0 && count === boxes().length;
  };
  let lastBox = null;
  const selectTo = (box, range) => {
    const list = boxes();
    if (range && lastBox) {
      const [from, to] = [list.indexOf(lastBox), list.indexOf(box)].sort((a, b) => a - b);
      for (const between of list.slice(from, to + 1)) between.checked = box.checked;
    }
    lastBox = box;
    tellBulk();
  };
  tellBulk();

  // The cursor row.
  const rows = () => all("[data-row]").filter((row) => row.offsetParent);
  const cursor = () => one("[data-row].cursor") || one("[data-row].chosen");
  const move = (by) => {
    const list = rows();
    if (!list.length) return;
    const next = list[Math.max(0, Math.min(list.length - 1, list.indexOf(cursor()) + by))] || list[0];
    for (const row of list) row.classList.toggle("cursor", row === next);
    next.scrollIntoView({ block: "nearest" });
    const link = one("a[href]", next);
    if (link) link.focus({ preventScroll: true });
  };
  const openRow = () => {
    const row = cursor();
    const link = row && one("a[href]", row);
    if (link) link.click();
  };

  // Keys act only when no field has focus.
  const go = { o: "/", d: "/devices", f: "/findings", v: "/vulnerabilities", r: "/rollouts", l: "/releases", e: "/evidence", a: "/audit" };
  let going = false;
  const press = (selector) => {
    const element = one(selector);
    if (element) element.click();
    return Boolean(element);
  };
  const focus = (selector) => {
    const field = all(selector).find((element) => element.offsetParent);
    if (field) field.focus();
    return Boolean(field);
  };
  const keys = {
    "/": () => focus("[data-filter-text]") || focus("[data-search]"),
    j: () => (move(1), true),
    k: () => (move(-1), true),
    o: () => (openRow(), true),
    x: (event) => {
      const box = cursor() && one("input[type=checkbox]", cursor());
      if (!box) return false;
      box.checked = !box.checked;
      selectTo(box, event.shiftKey);
      return true;
    },
    a: () => press("[data-key=a]"),
    m: () => press("[data-key=m]"),
    q: () => (bulk && bulk.classList.contains("on") ? press("[data-bulk-button]") : press("[data-key=q]")),
    f: () => press("[data-filter-menu] > summary"),
    t: () => (switchTheme(), true),
    "?": () => (one("#keys-dialog").showModal(), true),
    g: () => (going = true),
  };
  const isTyping = (element) => element.closest && element.closest("input:not([type=checkbox]), textarea, select, dialog[open]");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      for (const menu of all("details.pop[open], details.menu[open], details.who[open]")) menu.open = false;
      if (isTyping(event.target) && !event.target.closest("dialog")) event.target.blur();
      else if (bulk && !one("dialog[open]")) {
        for (const box of boxes()) box.checked = false;
        tellBulk();
      }
      return;
    }
    if (isTyping(event.target)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (going) {
      going = false;
      if (go[key]) location.assign(go[key]);
      return;
    }
    const act = Object.hasOwn(keys, key) && keys[key];
    if (act && act(event)) event.preventDefault();
  });

  const copy = async (button) => {
    const text = one("code", button.closest(".command")).textContent;
    await navigator.clipboard.writeText(text);
    const name = button.getAttribute("aria-label");
    button.setAttribute("aria-label", "Copied");
    button.classList.add("just-changed");
    setTimeout(() => (name ? button.setAttribute("aria-label", name) : button.removeAttribute("aria-label")), 2000);
  };

  document.addEventListener("click", (event) => {
    const target = event.target;
    const plain = !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;
    const link = target.closest("a[data-dialog]");
    if (link && plain) {
      event.preventDefault();
      return openAct(link.getAttribute("href"), link);
    }
    if (target.closest("[data-cancel]") && dialog && dialog.open) {
      event.preventDefault();
      return dialog.close();
    }
    if (target.closest("[data-theme-switch]")) {
      event.preventDefault();
      return switchTheme();
    }
    if (target.closest("[data-keys]")) return one("#keys-dialog").showModal();
    if (target.closest("[data-copy]")) return copy(target.closest("[data-copy]"));
    if (target.closest("[data-reason]")) {
      const field = one("textarea", target.closest("form"));
      field.value = target.closest("[data-reason]").textContent;
      return field.focus();
    }
    if (target.closest("[data-live-pause]")) {
      live.paused = !live.paused;
      if (live.paused) silence();
      else listen();
      return sayLive();
    }
    const opens = target.closest("[data-open]");
    if (opens) one(`#${opens.dataset.open}`).open = true;
    for (const menu of all("details.pop[open], details.who[open]")) if (!menu.contains(target)) menu.open = false;
    const row = target.closest("tr[data-row]");
    if (row && plain && !target.closest("a, button, input, label, summary") && !String(getSelection())) {
      const name = one("a.name", row) || one("a[href]", row);
      if (name) name.click();
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-select-all]")) {
      for (const box of boxes()) box.checked = event.target.checked;
      tellBulk();
    } else if (event.target.matches("[data-row] input[type=checkbox]")) selectTo(event.target, false);
  });
  document.addEventListener("reset", () => setTimeout(tellBulk));
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-bulk-form]")) {
      event.preventDefault();
      openAct(`${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`, event.submitter);
    } else if (form.matches("[data-act]")) {
      for (const button of all("button:not([type])", form)) button.setAttribute("aria-disabled", "true");
    }
  });

  // A toast goes after 8 seconds, but not while it is hovered or focused.
  const toast = one("[data-toast]");
  const dismiss = () => (toast.matches(":hover, :focus-within") ? setTimeout(dismiss, 2000) : toast.remove());
  if (toast) setTimeout(dismiss, 8000);
})();
