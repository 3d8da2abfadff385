// Makes the page live. Everything on it is there without this script.
(() => {
  "use strict";
  const root = document.documentElement, body = document.body;
  root.classList.add("script");
  const staleAfter = Number(body.dataset.stale);
  let checkedAt = Date.now() - Number(body.dataset.lag), busy = false, again = false, timer = 0;

  const span = (s) => s < 120 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " days";

  // The age counts on by itself, so that a page whose server went away says so.
  const age = () => {
    const label = document.getElementById("checked");
    if (!label || body.dataset.known === undefined) return;
    const ms = Math.max(0, Date.now() - checkedAt), time = label.querySelector("time");
    if (time) time.textContent = span(Math.floor(ms / 1000)) + " ago";
    const old = ms > staleAfter;
    root.classList.toggle("stale", old);
    const word = label.querySelector("strong");
    if (old && !word) label.append(" — ", Object.assign(document.createElement("strong"), { textContent: "UNKNOWN" }));
    if (!old && word) { word.previousSibling.remove(); word.remove(); }
  };

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const decorate = () => {
    for (const t of document.querySelectorAll("main time[datetime]")) {
      const at = new Date(t.dateTime);
      if (!isNaN(at)) t.title += "\n" + at.toLocaleString([], { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" }) + " (yours)";
    }
    for (const box of document.querySelectorAll(".copy")) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(box.querySelector("pre").textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      if (navigator.clipboard) box.append(button);
    }
    const yours = document.getElementById("viewer-zone");
    if (yours) yours.textContent = yours.parentNode.firstChild.data.trim().endsWith(" " + zone) ? " (yours)" : "; yours is " + zone;
  };

  // What the reader is doing survives a refresh: focus, what is being typed, what was opened.
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const wanted = location.href;
      const answer = await fetch(wanted, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (wanted === location.href && page.getElementById("main")) swap(page);
    } catch { /* the age keeps counting, and turns grey by itself */ } finally {
      busy = false;
      if (again) { again = false; later(); }
    }
  };
  const swap = (page) => {
    const old = document.getElementById("main"), fresh = page.getElementById("main");
    const active = document.activeElement, name = old.contains(active) ? active.getAttribute("name") : null;
    const href = old.contains(active) ? active.getAttribute("href") : null;
    for (const form of old.querySelectorAll("form[action]")) {
      const same = [...fresh.querySelectorAll("form[action]")].find((f) => f.getAttribute("action") === form.getAttribute("action") && f.id === form.id);
      for (const field of form.querySelectorAll("input[name]:not([type=hidden]), select[name]")) {
        const typed = field.options ? [...field.options].some((o) => o.selected !== o.defaultSelected) : field.value !== field.defaultValue || field.checked !== field.defaultChecked;
        const target = same?.elements.namedItem(field.name);
        if (typed && field.name !== "q" && target) { target.value = field.value; target.checked = field.checked; }
      }
    }
    for (const d of old.querySelectorAll("details[id]")) fresh.querySelector("#" + CSS.escape(d.id))?.toggleAttribute("open", d.open);
    if (name === "q") fresh.querySelector("[name=q]")?.setAttribute("value", active.value);
    const caret = name === "q" ? active.selectionStart : 0;
    old.replaceWith(fresh);
    document.title = page.title;
    const checked = page.getElementById("checked");
    if (checked) document.getElementById("checked")?.replaceWith(checked);
    Object.assign(body.dataset, page.body.dataset);
    checkedAt = Date.now() - Number(page.body.dataset.lag);
    const target = name ? fresh.querySelector(`[name="${name}"]`) : href ? fresh.querySelector(`a[href="${CSS.escape(href)}"]`) : null;
    if (target) { target.focus({ preventScroll: true }); if (name === "q") target.setSelectionRange(caret, caret); }
    decorate(); age();
  };
  const later = () => { clearTimeout(timer); timer = setTimeout(refresh, 400); };

  document.addEventListener("input", (e) => {
    const form = e.target.closest("#find");
    if (!form) return;
    const q = new URLSearchParams([...new FormData(form)].filter(([, v]) => v));
    history.replaceState(null, "", q.size ? "/?" + q : "/");
    clearTimeout(timer); timer = setTimeout(refresh, 150);
  });
  const search = () => {
    const field = document.querySelector("[name=q]");
    if (!field) { location.href = "/"; return; }
    field.focus(); field.select();
  };
  // j and k go through the rows of a page, from the first on.
  const step = (by) => {
    const rows = [...document.querySelectorAll("main tbody td.first > a, main .line > a.name, main .gantt summary, main .trouble h2 a")].filter((a) => a.checkVisibility());
    const at = rows.indexOf(document.activeElement);
    rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))]?.focus();
  };
  const help = () => {
    let box = document.querySelector("dialog.keys");
    if (!box) {
      box = document.createElement("dialog");
      box.className = "keys";
      box.setAttribute("aria-labelledby", "keys-title");
      box.innerHTML = '<h2 id="keys-title">Keys</h2><dl><dt><kbd>/</kbd></dt><dd>find a dataset</dd><dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>the next row, the one before</dd><dt><kbd>Enter</kbd></dt><dd>open it</dd><dt><kbd>?</kbd></dt><dd>this</dd></dl><form method="dialog"><button>Close</button></form>';
      document.body.append(box);
    }
    if (!box.open) box.showModal();
  };
  const keys = { "/": search, j: () => step(1), k: () => step(-1), "?": help };
  document.addEventListener("keydown", (e) => {
    const act = keys[e.key];
    if (!act || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]") || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
    e.preventDefault(); act();
  });

  decorate(); age(); setInterval(age, 1000);
  // A browser has six connections to a server: tabs in the background and pages left behind must not hold them.
  let events = null;
  const listen = () => {
    if (events || document.hidden || body.dataset.past !== undefined || document.querySelector(".login") || !window.EventSource) return;
    events = new EventSource("/v1/events");
    events.onmessage = later;
  };
  const hush = () => { events?.close(); events = null; };
  addEventListener("pagehide", hush);
  addEventListener("pageshow", listen);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return hush();
    listen(); later();
  });
  // Progress is not an event, and a stream may not get through: ask now and then, more often while
  // something is at work.
  let asked = Date.now();
  setInterval(() => {
    const every = document.querySelector("main .running") ? 3000 : Math.min(15000, staleAfter / 2);
    if (document.hidden || Date.now() - asked < every) return;
    asked = Date.now();
    refresh();
  }, 1000);
})();
