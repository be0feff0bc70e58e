// Keeps the page up to date. Without this script the page is complete, too: each link and the search load a new page.
const $ = (id) => document.getElementById(id);

// Replaces the content of an element, and keeps what is open in it and where the focus is.
function replace(id, html) {
  const old = $(id);
  if (!old || old.innerHTML === html) return;
  const open = [...old.querySelectorAll("details[open][id]")].map((part) => part.id);
  const active = old.contains(document.activeElement) ? document.activeElement : null;
  const link = active?.getAttribute("href");
  const index = active ? focusable(old).indexOf(active) : -1;
  old.innerHTML = html;
  for (const part of open) $(part)?.setAttribute("open", "");
  if (!active) return;
  const items = focusable(old);
  const next = items.find((item) => link && item.getAttribute("href") === link) ?? items[index] ?? null;
  if (next) return next.focus({ preventScroll: true });
  // The keyboard continues from here, and not from the top of the page.
  old.tabIndex = -1;
  old.focus({ preventScroll: true });
}

const focusable = (element) => [...element.querySelectorAll("a[href], button, input, summary, [tabindex='0']")];

// The address of a part of the page that a link leads to.
function part(href, name) {
  const url = new URL(href, location.href);
  url.searchParams.set("part", name);
  return url;
}

// Shows a part of the page. A part that the server cannot read has the reason; it counts as shown.
async function load(id, url) {
  const element = $(id);
  if (!element) return false;
  element.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(url, { headers: { Accept: "text/html" } });
    const isPart = response.headers.get("Content-Type")?.startsWith("text/html");
    if (!response.ok && !isPart) throw new Error(response.statusText);
    replace(id, await response.text());
    return true;
  } catch {
    return false;
  } finally {
    element.removeAttribute("aria-busy");
  }
}

// Parts that cost the server more than the page itself: loaded when they are about to be seen.
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((entry) => entry.isIntersecting)) {
    observer.unobserve(entry.target);
    load(entry.target.id, entry.target.dataset.load).then((isShown) => {
      if (!isShown) setTimeout(() => observer.observe(entry.target), 15000);
    });
  }
}, { rootMargin: "300px" });
for (const element of document.querySelectorAll("[data-load]")) observer.observe(element);

// The table and the map change without a new page. If that fails, the link is followed.
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[data-rows], a[data-map]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const isMap = link.hasAttribute("data-map");
  const href = link.getAttribute("href");
  const id = isMap ? "disk-body" : "rows";
  if (!$(id)) return;
  event.preventDefault();
  if (!(await load(id, part(href, isMap ? "map" : "rows")))) return location.assign(href);
  if (!isMap || location.pathname === "/disk") history.pushState(null, "", href);
});
addEventListener("popstate", () => location.reload());

// Search while typing. The form may be loaded later than this script.
let typing;

async function find() {
  clearTimeout(typing);
  const url = new URL(location.href);
  url.searchParams.delete("page");
  if ($("q").value) url.searchParams.set("q", $("q").value);
  else url.searchParams.delete("q");
  if (await load("rows", part(url.href, "rows"))) history.replaceState(null, "", url.href);
}
document.addEventListener("input", (event) => {
  if (event.target.id !== "q") return;
  clearTimeout(typing);
  typing = setTimeout(find, 200);
});
document.addEventListener("submit", (event) => {
  if (!event.target.contains($("q"))) return;
  event.preventDefault();
  find();
});

// The stream of changes. The browser connects again by itself, except after an answer that is no stream.
const live = $("live");
const pause = $("pause");
let stream;
let retry;

function show(state) {
  live.hidden = false;
  live.textContent = state;
  live.dataset.state = state;
}

function connect() {
  clearTimeout(retry);
  const model = document.querySelector("[data-model]")?.dataset.model;
  const query = model === undefined ? "" : `?model=${encodeURIComponent(model)}`;
  stream = new EventSource(`/api/weightstore/updates${query}`);
  stream.addEventListener("open", () => show("live"));
  stream.addEventListener("section", (event) => {
    const { id, html } = JSON.parse(event.data);
    replace(id, html);
  });
  stream.addEventListener("models", () => {
    if ($("rows")) load("rows", part(location.href, "rows"));
  });
  stream.addEventListener("error", () => {
    show("reconnecting");
    if (stream.readyState !== EventSource.CLOSED) return;
    clearTimeout(retry);
    retry = setTimeout(connect, 15000);
  });
}

function disconnect() {
  clearTimeout(retry);
  stream?.close();
  stream = undefined;
}

if (document.querySelector("[data-live]")) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    const isLive = Boolean(stream);
    if (isLive) disconnect();
    else connect();
    if (isLive) show("paused");
    pause.textContent = isLive ? "Resume" : "Pause";
  });
  // A page in the background needs no connection.
  document.addEventListener("visibilitychange", () => {
    if (pause.textContent === "Resume") return;
    if (document.hidden) disconnect();
    else if (!stream) connect();
  });
  connect();
}
