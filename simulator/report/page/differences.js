// Every scheme against a reference, image by image.
function differenceAt(metric) {
  const found = data.differences[state.reference];
  return where(found, (i) => found.metric[i] === metric && chosen(found, i) && state.shown[found.series[i]]);
}

const COMPARED = data.metrics;

function outageOf(series, found, i) {
  const points = data.points;
  const [at] = where(points, (k) => points.series[k] === series && ["channel", "cbr", "snr"].every((key) => points[key][k] === found[key][i]));
  return at === undefined ? 0 : points.outage_rate[at];
}

// The span of differences between what mostly arrives; others fall out of it.
function differenceRange(found, at) {
  const arrived = (i) => Math.max(outageOf(found.series[i], found, i), outageOf(state.reference, found, i)) <= MOSTLY_LOST;
  const kept = at.filter(arrived).flatMap((i) => [found.mean[i], found.low[i], found.high[i]]).filter((value) => value !== null);
  if (!kept.length || at.every(arrived)) return null;
  const [low, high] = [Math.min(...kept, 0), Math.max(...kept, 0)];
  const margin = 0.08 * (high - low) || 1;
  return [low - margin, high + margin];
}

function differenceChart(metric) {
  return () => {
    const found = data.differences[state.reference];
    const { unit, digits } = METRICS[metric];
    const along = (i) => (state.x === "snr" ? data.snrs[found.snr[i]] : data.cbrs[found.cbr[i]].value);
    const at = differenceAt(metric).filter((i) => found.snr[i] !== null);
    const traces = data.series.map((one, series) => {
      const own = at.filter((i) => found.series[i] === series).sort((a, b) => along(a) - along(b));
      const up = own.map((i) => (found.high[i] === null ? 0 : found.high[i] - found.mean[i]));
      const down = own.map((i) => (found.low[i] === null ? 0 : found.mean[i] - found.low[i]));
      return {
        x: own.map(along), y: own.map((i) => found.mean[i]), name: plain(one.label), meta: "difference", visible: state.shown[series],
        mode: one.plain ? "lines" : "lines+markers", line: { color: seriesColour(series), width: 1.5, dash: one.bound ? "dash" : "solid" },
        marker: { symbol: one.symbol, size: 7, color: seriesColour(series) },
        error_y: { type: "data", symmetric: false, array: up, arrayminus: down, color: seriesColour(series), thickness: 1.2, width: 3 },
        customdata: own.map((i) => interval(found.low[i], found.high[i], digits)),
        hovertemplate: `%{y:+.${digits}f}${unit}%{customdata}`,
      };
    }).filter((trace) => trace.x.length);
    const range = differenceRange(found, at);
    return {
      traces,
      layout: {
        xaxis: { title: { text: state.x === "snr" ? axisTitle() : "CBR", standoff: 6 }, zeroline: false, unifiedhovertitle: { text: state.x === "snr" ? "%{x} dB" : "CBR %{x}" } },
        yaxis: { range: range ?? undefined, autorange: !range, ticksuffix: unit, zeroline: true, zerolinewidth: 1.5 },
        uirevision: `${state.x} ${state.channel} ${state.cbr} ${state.snr} ${state.reference}`,
      },
    };
  };
}

// One line per scheme, or per scheme and SNR where there is no mean over several; a column per metric.
function meanDifferences() {
  const found = data.differences[state.reference];
  const over = where(found, (i) => chosen(found, i) && state.shown[found.series[i]]);
  const means = over.filter((i) => found.snr[i] === null);
  const lines = new Map();
  for (const i of means.length ? means : over) {
    const place = `${found.series[i]} ${found.snr[i]} ${found.cbr[i]}`;
    lines.set(place, { ...lines.get(place), [found.metric[i]]: i, any: i });
  }
  const rows = [...lines.values()].map((line) => {
    const i = line.any;
    const snr = found.snr[i] === null ? "mean of all" : `${data.snrs[found.snr[i]]} dB`;
    const cells = COMPARED.map((metric) => (line[metric] === undefined ? "–" : differenceCell(found, line[metric])));
    return [data.series[found.series[i]].label, snr, data.cbrs[found.cbr[i]].label, ...cells, String(found.images[i])];
  });
  fillTable($("mean-differences"), ["Scheme", "Es/N0", "CBR", ...COMPARED.map((metric) => METRICS[metric].name), "Images"], rows, 1);
}

function differenceCell(found, i) {
  const { unit, digits } = METRICS[found.metric[i]];
  const percent = found.percent[i] === null ? "" : ` (${signed(found.percent[i], 1)} %)`;
  const low = found.low[i];
  const range = low === null ? "" : `${signed(low, digits)} … ${signed(found.high[i], digits)}`;
  const cell = document.createDocumentFragment();
  cell.append(`${signed(found.mean[i], digits)}${unit}${percent}`, element("small", {}, range));
  return cell;
}

function addDifferences() {
  const possible = data.series.map((_, index) => index).filter((index) => data.differences[index].series.length);
  if (!possible.length) {
    for (const part of document.querySelectorAll("[data-needs=differences]")) part.hidden = true;
    return;
  }
  for (const index of possible) $("reference").append(new Option(data.series[index].label, index));
  state.reference = possible[0];
  $("reference").addEventListener("change", (event) => {
    state.reference = Number(event.target.value);
    changed();
  });
  for (const metric of COMPARED) {
    const { name, better } = METRICS[metric];
    addChart($("difference-charts"), `${name} difference`, better, differenceChart(metric), `Differences of ${name}; the table below has means`);
  }
  meanDifferences();
  CHOICES.addEventListener("change", meanDifferences);
}
