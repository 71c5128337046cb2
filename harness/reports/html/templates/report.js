// Brings a report to life. Without it everything can be read: charts are pictures, tables are tables.

const theme = JSON.parse(document.getElementById("theme").textContent);

// A table of a specification, whose columns are named once, as the library takes it.
function unpacked(part) {
  if (Array.isArray(part)) return part.map(unpacked);
  if (part === null || typeof part !== "object") return part;
  if (part.names) {
    return { values: part.rows.map((row) => Object.fromEntries(part.names.map((name, i) => [name, row[i]]))) };
  }
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, unpacked(value)]));
}

// A chart that comes into view is drawn again over its picture, so that it answers to the pointer.
async function enliven(picture) {
  const spec = unpacked(JSON.parse(picture.parentElement.querySelector("script").textContent));
  const fresh = document.createElement("div");
  const { view } = await vegaEmbed(fresh, { config: theme, ...spec }, {
    renderer: "svg", actions: false, defaultStyle: false, ast: true, mode: "vega-lite", tooltip: { disableDefaultStyle: true },
  });
  // What it shows is said by the figure's label and its table, not mark by mark.
  fresh.querySelectorAll("svg, svg [role]").forEach((part) => {
    for (const name of ["role", "aria-roledescription", "aria-label"]) part.removeAttribute(name);
  });
  picture.replaceChildren(fresh);
  view.addEventListener("click", (_, item) => follow(item?.datum?.feature));
}

// From a feature's dot to its card, where it has one.
function follow(name) {
  const card = name && document.getElementById("feature-" + String(name).replace(":", "-"));
  if (!card) return;
  location.hash = card.id;
  open();
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    enliven(target).catch((error) => console.warn("a chart stays a picture:", error.message));
  }
}, { rootMargin: "200px" });
document.querySelectorAll(".chart").forEach((picture) => seen.observe(picture));

// A link into a closed card opens it.
function open() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  }
}
addEventListener("hashchange", open);
// The same link once more changes no hash.
addEventListener("click", (event) => {
  if (event.target.closest?.("a")?.hash === location.hash) open();
});
open();

// What a link leads to is not hidden below the bar that stays.
const bar = document.querySelector(".stamps");
if (bar) {
  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--top", `${bar.offsetHeight + 16}px`);
  }).observe(bar);
}

const numeric = (text) => /^[+-]?[\d.]+(e[+-]?\d+)?\s?%?$/i.test(text);
const parts = (text) => (/^\d+:\d+$/.test(text) ? text.split(":").map(Number) : null);

// What has no value is last, whichever way the others stand.
function compare(a, b, way) {
  if (!a || !b) return !a - !b;
  const [p, q] = [parts(a), parts(b)];
  if (p && q) return way * (p[0] - q[0] || p[1] - q[1]);
  if (numeric(a) && numeric(b)) return way * (parseFloat(a) - parseFloat(b));
  return way * a.localeCompare(b);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const text = ({ cells: { [at]: cell } }) => (cell.dataset.key ?? cell.textContent).trim();
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compare(text(a), text(b), up ? 1 : -1));
      table.tBodies[0].append(...rows);
    });
  });
}

for (const input of document.querySelectorAll("input[data-filter]")) {
  const table = document.getElementById(input.dataset.filter);
  const count = document.querySelector(`[data-count="${table.id}"]`);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      const card = document.getElementById(row.querySelector("a")?.hash.slice(1));
      if (card) card.hidden = row.hidden;
    }
    const rows = [...table.tBodies[0].rows];
    count.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  });
}
