// Every scheme against a reference, image by image.
function differenceAt(metric) {
  const found = data.differences[state.reference];
  return where(found, (i) => found.metric[i] === metric && chosen(found, i) && state.shown[found.series[i]]);
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
        mode: "lines+markers", line: { color: seriesColour(series), width: 1.5, dash: one.bound ? "dash" : "solid" },
        marker: { symbol: one.symbol, size: 7, color: seriesColour(series) },
        error_y: { type: "data", symmetric: false, array: up, arrayminus: down, color: seriesColour(series), thickness: 1.2, width: 3 },
        customdata: own.map((i) => interval(found.low[i], found.high[i], digits)),
        hovertemplate: `%{y:+.${digits}f}${unit}%{customdata}`,
      };
    }).filter((trace) => trace.x.length);
    return {
      traces,
      layout: {
        xaxis: { title: { text: state.x === "snr" ? axisTitle() : "CBR", standoff: 6 }, zeroline: false, unifiedhovertitle: { text: state.x === "snr" ? "%{x} dB" : "CBR %{x}" } },
        yaxis: { ticksuffix: unit, zeroline: true, zerolinewidth: 1.5 },
        uirevision: `${state.x} ${state.channel} ${state.cbr} ${state.snr} ${state.reference}`,
      },
    };
  };
}

function meanDifferences() {
  const found = data.differences[state.reference];
  const over = where(found, (i) => chosen(found, i) && state.shown[found.series[i]]);
  const means = over.filter((i) => found.snr[i] === null);
  const rows = (means.length ? means : over).map((i) => {
    const { name, unit, digits } = METRICS[found.metric[i]];
    const low = found.low[i];
    const range = low === null ? "–" : `${signed(low, digits)} … ${signed(found.high[i], digits)}`;
    const percent = found.percent[i] === null ? "" : `${signed(found.percent[i], 1)} %`;
    const at = found.snr[i] === null ? "mean" : String(data.snrs[found.snr[i]]);
    return [data.series[found.series[i]].label, name, at, signed(found.mean[i], digits) + unit, range, percent, String(found.images[i])];
  });
  fillTable($("mean-differences"), ["Scheme", "Metric", "Es/N0 (dB)", "Difference", "95 % interval", "Relative", "Images"], rows, 2);
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
  for (const metric of data.metrics) {
    const { name, better } = METRICS[metric];
    addChart($("difference-charts"), `${name} difference`, better, differenceChart(metric), `Differences of ${name}; the table below has means`);
  }
  meanDifferences();
  CHOICES.addEventListener("change", meanDifferences);
}
