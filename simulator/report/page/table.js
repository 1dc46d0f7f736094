// Image by image, sorted by any column.
const PAGE = 100;
const COLUMNS = [
  { key: "image", name: "Image", text: (t, i) => data.images[t.image[i]] },
  { key: "series", name: "Scheme", text: (t, i) => data.series[t.series[i]].label },
  { key: "snr", name: "Es/N0 (dB)", format: (t, i) => String(data.snrs[t.snr[i]]) },
  ...data.metrics.map((key) => ({ key, name: METRICS[key].name, format: (t, i) => number(t[key][i], METRICS[key].digits) })),
  { key: "billed", name: "Billed CBR", format: (t, i) => number(t.billed[i], 5) },
  { key: "outage_rate", name: "Outage", format: (t, i) => `${Math.round(100 * t.outage_rate[i])} %` },
];
const order = { key: "image", down: false, shown: PAGE };

function sortedRows() {
  const table = data.table;
  const only = ["image", "series", "snr"].map((key) => [key, $(`table-${key}`).value]).filter(([, value]) => value !== "");
  const kept = where(table, (i) => table.channel[i] === state.channel && (state.x === "cbr" || table.cbr[i] === state.cbr)
    && state.shown[table.series[i]] && only.every(([key, value]) => table[key][i] === Number(value)));
  const values = table[order.key];
  const sign = order.down ? -1 : 1;
  // What is missing comes last in either direction; equals keep the order of the sweep.
  return kept.sort((a, b) => (values[a] === null) - (values[b] === null) || sign * (values[a] - values[b]) || a - b);
}

function showTable() {
  const table = data.table;
  const rows = sortedRows();
  const body = element("tbody");
  for (const i of rows.slice(0, order.shown)) {
    const cells = COLUMNS.map((column) => {
      if (!column.text) return element("td", {}, column.format(table, i));
      const place = [table.series[i], table.channel[i], table.cbr[i], table.snr[i], table.image[i]];
      const opens = column.key === "image" && shotOf(...place);
      const name = opens ? element("button", { type: "button", class: "open", title: "Show this picture" }, column.text(table, i)) : column.text(table, i);
      if (opens) name.addEventListener("click", () => openShot(...place));
      const cell = element("td", { class: "text" }, name);
      if (column.key === "series") {
        const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
        swatch.style.background = seriesColour(table.series[i]);
        cell.prepend(swatch);
      }
      return cell;
    });
    body.append(element("tr", {}, ...cells));
  }
  $("table").querySelector("tbody").replaceWith(body);
  for (const head of $("table").querySelectorAll("th")) {
    const mine = head.dataset.key === order.key;
    mine ? head.setAttribute("aria-sort", order.down ? "descending" : "ascending") : head.removeAttribute("aria-sort");
  }
  $("more").hidden = rows.length <= order.shown;
  $("images-lead").textContent = `${count(rows.length, "line")}${data.realisations > 1 ? `, each the mean of up to ${data.realisations} channel draws` : ""}. Press a heading to sort${data.pictures.shots.length ? ", an image's name to see the picture" : ""}.`;
}

function addTable() {
  const heads = COLUMNS.map(({ key, name, text }) => {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", () => {
      order.down = order.key === key ? !order.down : !text && key !== "snr";
      order.key = key;
      showTable();
    });
    return element("th", { scope: "col", "data-key": key, ...(text ? { class: "text" } : {}) }, button);
  });
  $("table").append(element("thead", {}, element("tr", {}, ...heads)), element("tbody"));
  const all = ["", "all"];
  offer($("table-image"), [all, ...data.images.map((name, index) => [index, name])], "");
  offer($("table-series"), [all, ...data.series.map((one, index) => [index, one.label])], "");
  offer($("table-snr"), [all, ...data.snrs.map((snr, index) => [index, `${snr} dB`])], "");
  for (const id of ["table-image", "table-series", "table-snr"]) $(id).addEventListener("change", () => { order.shown = PAGE; showTable(); });
  $("more").addEventListener("click", () => { order.shown += 5 * PAGE; showTable(); });
  showTable();
  CHOICES.addEventListener("change", showTable);
}
