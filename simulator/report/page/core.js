// What all parts share: the numbers, what is chosen, and small tools. All text goes in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const ITEMS = ["payload", "side_information", "header", "crc", "padding", "pilots"];
const ITEM_COLOURS = ["#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#B5B5B5", "#E69F00"];
const METRICS = {
  psnr_db: { name: "PSNR", unit: " dB", digits: 2, better: "higher is better" },
  ms_ssim: { name: "MS-SSIM", unit: "", digits: 4, better: "higher is better" },
  lpips: { name: "LPIPS", unit: "", digits: 3, better: `lower is better${data.lpips ? `, ${data.lpips}` : ""}` },
  outage_rate: { name: "Outage", unit: "", digits: 3, better: "share of trips after which nothing could be decoded" },
};
for (const [key, words] of Object.entries(data.further)) METRICS[key] = { unit: "", ...words };

const $ = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function number(value, digits) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

function signed(value, digits) {
  return value === null ? "–" : (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
}

// The records of a table in columns for which `keep` holds, as indices.
function where(columns, keep) {
  const found = [];
  for (let index = 0; index < columns.series.length; index++) if (keep(index)) found.push(index);
  return found;
}

// ---- what is chosen -------------------------------------------------------------------------------------------------
const several = { snr: data.snrs.length > 1, cbr: data.cbrs.length > 1, channel: data.channels.length > 1 };
const state = {
  shown: data.series.map(() => true),
  x: !several.snr && several.cbr ? "cbr" : "snr",
  channel: 0,
  cbr: data.points.cbr[0],
  snr: data.points.snr[0],
  reference: 0,
  bands: false,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
};

// Is this record at the chosen channel and at the chosen value of the axis that is not drawn?
function chosen(columns, index) {
  const other = state.x === "snr" ? "cbr" : "snr";
  return columns.channel[index] === state.channel && (columns[other][index] === null || columns[other][index] === state[other]);
}

// ---- charts: drawn when they come into view, once plotly is unpacked, and again when a choice changes -----------------
const CHOICES = new EventTarget();
const drawn = new Set();
let plotly = null;

function changed() {
  CHOICES.dispatchEvent(new Event("change"));
  for (const chart of drawn) draw(chart);
}

function draw(chart) {
  if (!plotly) return;
  const { traces, layout } = chart.describe();
  Plotly.react(chart.place, traces, styled(layout), {
    responsive: true, displaylogo: false, doubleClick: "reset", displayModeBar: matchMedia("(pointer: coarse)").matches ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // none that would leave the page
  });
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting || !plotly) continue;
    watcher.unobserve(target);
    drawn.add(target.chart);
    draw(target.chart);
  }
}, { rootMargin: "300px" });

function addChart(parent, caption, note, describe, alt) {
  const place = element("div", { class: "chart", role: "img", "aria-label": alt });
  const figure = element("figure", {}, element("figcaption", {}, caption, note ? element("small", {}, ` ${note}`) : ""), place);
  parent.append(figure);
  place.chart = { place, describe };
  return figure;
}

function watchCharts() {
  for (const place of document.querySelectorAll(".chart")) watcher.observe(place);
}

// plotly.js is in the page as compressed text.
async function unpackPlotly() {
  const letters = atob($("plotly").textContent);
  const packed = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) packed[i] = letters.charCodeAt(i);
  const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
  plotly = Plotly;
}

// ---- light and dark ---------------------------------------------------------------------------------------------------
function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { paper: read("--paper"), ink: read("--ink"), soft: read("--soft"), line: read("--line"), raised: read("--raised") };
}

// Black bounds would vanish on dark paper.
function seriesColour(index) {
  const colour = data.series[index].colour;
  return state.dark && colour === "#000000" ? "#F0F0F0" : colour;
}

function styled(layout) {
  const { paper, ink, soft, line, raised } = colours();
  const axis = { gridcolor: line, zerolinecolor: soft, linecolor: line, tickcolor: line, automargin: true, fixedrange: false };
  const touch = matchMedia("(pointer: coarse)").matches;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "x unified",
    margin: { l: 48, r: 10, t: 8, b: 40 }, dragmode: touch ? false : "zoom",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: soft },
    hoverlabel: { bgcolor: raised, bordercolor: line, font: { color: ink, size: 12 } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
    ...layout,
    xaxis: { ...axis, spikethickness: 1, spikecolor: soft, spikedash: "dot", ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  };
}

function applyTheme() {
  document.documentElement.dataset.theme = state.dark ? "dark" : "light";
  $("theme").textContent = state.dark ? "Light" : "Dark";
}
