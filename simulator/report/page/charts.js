// Curves of quality and outage, and the bars of the bill.
const MOSTLY_LOST = 0.5; // outage rate above which a point does not stretch the axis of quality

function abscissa(columns, index) {
  return state.x === "snr" ? data.snrs[columns.snr[index]] : columns.billed[index];
}

function axisTitle() {
  const average = data.channels[state.channel].split(":")[0] === "awgn" ? "" : "Average ";
  return state.x === "snr" ? `${average}E<sub>s</sub>/N<sub>0</sub> (dB)` : "Billed CBR (channel uses per source value)";
}

// The points of one series in the order of the axis.
function curve(series, metric) {
  const points = data.points;
  const found = where(points, (i) => points.series[i] === series && chosen(points, i) && points[metric][i] !== null);
  return found.sort((a, b) => abscissa(points, a) - abscissa(points, b));
}

function curveTraces(metric) {
  const points = data.points;
  const { name, unit, digits } = METRICS[metric];
  const traces = [];
  data.series.forEach((one, series) => {
    const at = curve(series, metric);
    const colour = seriesColour(series);
    const xs = at.map((i) => abscissa(points, i));
    const low = at.map((i) => points[`${metric}_lo`][i]);
    const high = at.map((i) => points[`${metric}_hi`][i]);
    const visible = state.shown[series];
    // Outage rates of 0 would lay all their bands over each other.
    if (state.bands && at.length > 1 && !low.includes(null) && at.some((i) => points[metric][i] > 0)) {
      traces.push({
        x: [...xs, ...xs.toReversed()], y: [...high, ...low.toReversed()], fill: "toself", fillcolor: colour, mode: "lines",
        opacity: one.bound ? 0.06 : 0.12, line: { width: 0 }, hoverinfo: "skip", visible, name: plain(one.label), meta: "band",
      });
    }
    traces.push({
      x: xs, y: at.map((i) => points[metric][i]), mode: one.plain ? "lines" : "lines+markers", visible, name: plain(one.label),
      meta: "curve", line: { color: colour, width: 2, dash: one.bound ? "dash" : "solid" },
      marker: {
        symbol: one.symbol, size: 8, line: { color: colour, width: 1.5 },
        color: at.map((i) => (points.outage_rate[i] > 0 ? colours().paper : colour)),
      },
      customdata: at.map((i, k) => [interval(low[k], high[k], digits), data.snrs[points.snr[i]]]),
      hovertemplate: `%{y:.${digits}f}${unit}%{customdata[0]}`,
    });
  });
  return traces;
}

// Plotly reads a few tags in texts: without angle brackets there are none.
function plain(text) {
  return text.replaceAll("<", "‹").replaceAll(">", "›").replaceAll("&", "＆");
}

function interval(low, high, digits) {
  return low === null ? "" : `  (${number(low, digits)} – ${number(high, digits)})`;
}

// The span of what mostly arrives; a curve falls out of it over its cliff.
function qualityRange(metric) {
  const points = data.points;
  const at = data.series.flatMap((_, series) => (state.shown[series] ? curve(series, metric) : []));
  const kept = at.filter((i) => points.outage_rate[i] <= MOSTLY_LOST).map((i) => points[metric][i]);
  for (const i of at) {
    if (!points.outage_rate[i]) kept.push(...[points[`${metric}_lo`][i], points[`${metric}_hi`][i]].filter((v) => v !== null));
  }
  if (!kept.length || !at.some((i) => points.outage_rate[i] > MOSTLY_LOST)) return null;
  const [low, high] = [Math.min(...kept), Math.max(...kept)];
  const margin = 0.06 * (high - low) || 1;
  return [low - margin, high + margin];
}

// Say at the edge, where a curve leaves the span, at which value it goes on.
function falls(metric, range) {
  if (!range) return [];
  const points = data.points;
  const { unit, digits } = METRICS[metric];
  return data.series.flatMap((_, series) => {
    const lost = curve(series, metric).filter((i) => points.outage_rate[i] === 1);
    const last = lost.at(-1);
    const value = last === undefined ? null : points[metric][last];
    if (!state.shown[series] || value === null || (value >= range[0] && value <= range[1])) return [];
    const below = value < range[0];
    return [{
      x: abscissa(points, last), y: below ? range[0] : range[1], text: `${below ? "↓" : "↑"} ${value.toFixed(Math.max(digits - 2, 0))}${unit}`,
      showarrow: false, xanchor: "left", yanchor: below ? "bottom" : "top", font: { size: 11, color: seriesColour(series) },
    }];
  });
}

function curveChart(metric) {
  return () => {
    const range = metric === "outage_rate" ? [-0.04, 1.04] : qualityRange(metric);
    const { unit } = METRICS[metric];
    const format = state.x === "snr" ? "" : ".4f";
    return {
      traces: curveTraces(metric),
      layout: {
        xaxis: { zeroline: false, title: { text: axisTitle(), standoff: 8 }, hoverformat: format, unifiedhovertitle: { text: state.x === "snr" ? "%{x} dB" : "CBR %{x}" } },
        yaxis: { zeroline: false, range: range ?? undefined, autorange: !range, ticksuffix: unit, tickformat: metric === "outage_rate" ? ".0%" : "" },
        annotations: metric === "outage_rate" ? [] : falls(metric, range),
        uirevision: `${state.x} ${state.channel} ${state.cbr} ${state.snr}`,
      },
    };
  };
}

function addBands() {
  if (!data.points.psnr_db_lo.some((value) => value !== null)) return;
  const box = element("input", { type: "checkbox", id: "bands" });
  box.addEventListener("change", () => { state.bands = box.checked; changed(); });
  $("curve-charts").before(element("label", { class: "chip" }, box, "95 % intervals as bands"));
}

function anyOutage() {
  return data.points.outage_rate.some((value) => value > 0);
}

function addCurves() {
  addBands();
  for (const metric of anyOutage() ? [...data.metrics, "outage_rate"] : data.metrics) {
    const { name, better } = METRICS[metric];
    const alt = `${name} of ${data.series.map((one) => one.label).join(", ")}; the table below has the same numbers`;
    addChart($("curve-charts"), name, better, curveChart(metric), alt);
  }
  tellCurves();
  CHOICES.addEventListener("change", tellCurves);
  $("points").closest("details").addEventListener("toggle", tellCurves);
}

function tellCurves() {
  const bands = data.points.psnr_db_lo.some((value) => value !== null);
  $("curves-lead").textContent = "Means over images"
    + (bands ? `, with 95 % bootstrap intervals over images ${state.bands ? "as bands" : "in the table and at the pointer"}` : "")
    + (anyOutage() ? "; hollow markers where some trips ended in outage" : "; no trip ended in outage")
    + (data.series.some((one) => one.bound) ? "; dashed lines are bounds, not schemes" : "")
    + ".";
  if ($("points").closest("details").open) pointsTable();
}

function pointsTable() {
  const points = data.points;
  const metrics = [...data.metrics, "outage_rate"];
  const heads = ["Scheme", "Es/N0 (dB)", "Billed CBR", "Images", ...metrics.flatMap((one) => [METRICS[one].name, "95 %"])];
  const rows = where(points, (i) => state.shown[points.series[i]] && chosen(points, i)).map((i) => [
    data.series[points.series[i]].label, String(data.snrs[points.snr[i]]), number(points.billed[i], 5), String(points.images[i]),
    ...metrics.flatMap((one) => [
      number(points[one][i], METRICS[one].digits),
      interval(points[`${one}_lo`][i], points[`${one}_hi`][i], METRICS[one].digits).trim().replace(/[()]/g, "") || "–",
    ]),
  ]);
  fillTable($("points"), heads, rows, 1);
}

// A table of texts; the first `names` columns are words.
function fillTable(table, heads, rows, names) {
  const kind = (column) => (column < names ? { class: "text" } : {});
  const head = element("thead", {}, element("tr", {}, ...heads.map((text, c) => element("th", { scope: "col", ...kind(c) }, text))));
  const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((text, c) => element("td", kind(c), text)))));
  table.replaceChildren(head, body);
}

// ---- the bill -----------------------------------------------------------------------------------------------------
function billTraces(series) {
  const bill = data.bill;
  const axis = state.x === "snr" ? "snr" : "cbr";
  const label = (i) => (axis === "snr" ? String(data.snrs[bill.snr[i]]) : data.cbrs[bill.cbr[i]].label);
  const at = where(bill, (i) => bill.series[i] === series && chosen(bill, i)).sort((a, b) => bill[axis][a] - bill[axis][b]);
  const totals = at.map((i) => ITEMS.reduce((sum, item) => sum + bill[item][i], 0));
  return ITEMS.flatMap((item, place) => {
    const ys = at.map((i) => bill[item][i]);
    if (!ys.some((value) => value > 0)) return [];
    return [{
      type: "bar", x: at.map(label), y: ys, name: item.replace("_", " "), marker: { color: ITEM_COLOURS[place], line: { width: 0 } },
      customdata: ys.map((value, k) => (totals[k] ? value / totals[k] : 0)), hovertemplate: "%{y:.5f}  (%{customdata:.1%})",
    }];
  });
}

function addBill() {
  const used = ITEMS.map((item, place) => place).filter((place) => data.bill[ITEMS[place]].some((value) => value > 0));
  for (const place of used) {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = ITEM_COLOURS[place];
    $("bill-key").append(element("li", {}, swatch, ITEMS[place].replace("_", " ")));
  }
  const figures = data.series.map((one, series) => addChart($("bill-charts"), one.label, "", () => ({
    traces: billTraces(series),
    layout: {
      barmode: "stack", bargap: 0.25, yaxis: { nticks: 5 },
      xaxis: { type: "category", tickangle: 0, nticks: 9, showgrid: false, title: { text: state.x === "snr" ? axisTitle() : "CBR", standoff: 6 } },
    },
  }), `What ${one.label} spends its channel uses on`));
  const show = () => figures.forEach((figure, series) => {
    figure.hidden = !state.shown[series] || !where(data.bill, (i) => data.bill.series[i] === series && chosen(data.bill, i)).length;
  });
  show();
  CHOICES.addEventListener("change", show);
}
