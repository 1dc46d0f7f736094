// Heading, controls, provenance; then everything else, the charts last.
const SWATCHES = {
  circle: "M5 0a5 5 0 1 0 -10 0a5 5 0 1 0 10 0", square: "M-4.5-4.5h9v9h-9z", "triangle-up": "M0-5.5L5 4H-5z", "triangle-down": "M0 5.5L5-4H-5z",
  diamond: "M0-5.8L5.8 0 0 5.8-5.8 0z", cross: "M-1.8-5h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z",
  "triangle-left": "M-5.5 0L4-5V5z", "triangle-right": "M5.5 0L-4-5V5z", pentagon: "M0-5.5L5.2-1.7 3.2 4.5H-3.2L-5.2-1.7z",
  x: "M-5-2.6L-2.6-5 0-2.4 2.6-5 5-2.6 2.4 0 5 2.6 2.6 5 0 2.4-2.6 5-5 2.6-2.4 0z",
};

function swatch(index) {
  const one = data.series[index];
  const make = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const picture = make("svg", { width: 26, height: 14, viewBox: "-13 -7 26 14", "aria-hidden": "true" });
  picture.append(make("path", { d: "M-13 0H13", stroke: seriesColour(index), "stroke-width": 2, ...(one.bound ? { "stroke-dasharray": "5 3" } : {}) }));
  if (!one.plain) picture.append(make("path", { d: SWATCHES[one.symbol], fill: seriesColour(index) }));
  return picture;
}

function addSchemes() {
  data.series.forEach((one, index) => {
    const box = element("input", { type: "checkbox", "data-series": index });
    box.checked = true;
    box.addEventListener("change", () => { state.shown[index] = box.checked; changed(); });
    $("schemes").append(element("label", { class: "chip" }, box, swatch(index), element("span", {}, one.label)));
  });
  // What has no point at the chosen channel and ratio needs no switch.
  const show = () => {
    const there = new Set(where(data.points, (i) => chosen(data.points, i)).map((i) => data.points.series[i]));
    [...$("schemes").querySelectorAll(".chip")].forEach((chip, index) => { chip.hidden = !there.has(index); });
  };
  show();
  CHOICES.addEventListener("change", show);
}

function addConditions() {
  const place = $("conditions");
  const add = (name, key, options, after) => {
    const select = element("select", { id: `choose-${key}` });
    offer(select, options, state[key]);
    select.addEventListener("change", () => {
      state[key] = key === "x" ? select.value : Number(select.value);
      after?.();
      changed();
    });
    const label = element("label", {}, `${name} `, select);
    place.append(label);
    return label;
  };
  const other = () => {
    if (cbr) cbr.hidden = state.x !== "snr";
    if (snr) snr.hidden = state.x !== "cbr";
  };
  if (several.channel) add("Channel", "channel", data.channels.map((name, index) => [index, name]));
  if (several.snr && several.cbr) add("Against", "x", [["snr", "Es/N0"], ["cbr", "CBR"]], () => other());
  const cbr = several.cbr && several.snr ? add("CBR", "cbr", data.cbrs.map((one, index) => [index, one.label])) : null;
  const snr = several.cbr && several.snr ? add("Es/N0", "snr", data.snrs.map((one, index) => [index, `${one} dB`])) : null;
  other();
}

function addFacts() {
  const range = (values) => (values.length > 3 ? `${values[0]} to ${values.at(-1)}` : values.join(", "));
  const schemes = data.series.filter((one) => !one.bound).length;
  const bounds = data.series.length - schemes;
  const facts = [
    ["Schemes", `${schemes}${bounds ? `, and ${count(bounds, "bound")}` : ""}`],
    ["Channel", data.channels.length > 3 ? count(data.channels.length, "channel") : data.channels.join(", ")],
    ["Es/N0", `${range(data.snrs)} dB`],
    ["CBR", range(data.cbrs.map((one) => one.label))],
    ["Images", count(data.images.length, "image")],
    ["Channel draws", `${data.realisations} per image`],
    ...(data.lpips ? [["LPIPS", data.lpips]] : []),
  ];
  for (const [name, text] of facts) $("facts").append(element("div", {}, element("dt", {}, name), element("dd", {}, text)));
  for (const note of data.notes) $("notes").append(element("li", {}, note));
  $("title").textContent = data.title;
  $("brand").textContent = data.title;
}

function addOrigins() {
  for (const origin of data.origins) {
    const part = element("div", { class: "origin" }, element("h3", {}, origin.folder));
    if (origin.command) {
      const copy = element("button", { type: "button" }, "Copy");
      copy.addEventListener("click", () => copyText(origin.command, copy));
      part.append(element("div", { class: "command" }, element("pre", {}, origin.command), copy));
    } else {
      part.append(element("p", { class: "lead" }, "The command was not written down."));
    }
    part.append(definitions(origin.facts));
    part.append(element("details", {}, element("summary", {}, "Versions and weights"), definitions(origin.versions)));
    $("origins").append(part);
  }
}

function definitions(pairs) {
  return element("dl", {}, ...pairs.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element("textarea"); // a page opened from a file may have no clipboard
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function setDark(dark) {
  if (dark === state.dark) return;
  state.dark = dark;
  applyTheme();
  $("schemes").querySelectorAll("svg").forEach((old, index) => old.replaceWith(swatch(index)));
  changed();
}

// Paper is white: what is dark on the screen is printed light, with the schemes as legend.
function printLight() {
  let before = state.dark;
  addEventListener("beforeprint", () => { before = state.dark; setDark(false); });
  addEventListener("afterprint", () => setDark(before));
}

// Say of a table that is wider than its place that it scrolls.
function addScrollHints() {
  for (const region of document.querySelectorAll(".scroll")) {
    const hint = element("p", { class: "hint" }, "Scroll the table sideways to see all columns →");
    hint.hidden = true;
    region.before(hint);
    const look = () => { hint.hidden = region.scrollWidth <= region.clientWidth + 1; };
    const watch = new ResizeObserver(look);
    watch.observe(region);
    watch.observe(region.firstElementChild);
  }
}

function addCitation() {
  const copy = element("button", { type: "button" }, "Copy");
  copy.addEventListener("click", () => copyText(data.citation, copy));
  $("citation").append(element("div", { class: "command" }, element("pre", {}, data.citation), copy));
}

applyTheme();
$("theme").addEventListener("click", () => setDark(!state.dark));
printLight();
addFacts();
addSchemes();
addConditions();
addCurves();
addDifferences();
addViewer();
addTable();
addBill();
addOrigins();
addCitation();
addScrollHints();
unpackPlotly().then(() => {
  watchCharts();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}, () => {
  $("notes").append(element("li", {}, "The curves need a browser of 2023 or later; tables and pictures are complete without them."));
});
