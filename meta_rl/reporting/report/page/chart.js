"use strict";

// One kind of chart: lines, bands and points over two linear axes, drawn at the width there is, so
// that text keeps its size on a telephone.

const MARKS = {
  circle: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",
  square: "M-3.6,-3.6H3.6V3.6H-3.6Z",
  triangle: "M0,-5L4.8,3.6H-4.8Z",
  diamond: "M0,-5.2L5.2,0L0,5.2L-5.2,0Z",
  cross: "M-4,-4L4,4M-4,4L4,-4",
};

/** Round numbers from low to high, about `count` of them. */
function ticks(low, high, count, integer = false) {
  const rough = (high - low || 1) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const wanted = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const size = integer ? Math.max(1, Math.round(wanted)) : wanted;
  const values = [];
  for (let index = Math.ceil(low / size - 1e-9); index * size <= high + size * 1e-9; index += 1) {
    values.push(index * size);
  }
  return { values, size };
}

function tickText(value, size) {
  if (Math.abs(value) >= 10000) return compact(value);
  return decimal(value, Math.max(0, -Math.floor(Math.log10(size) + 1e-9)));
}

function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null || value === undefined) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low > high ? [0, 1] : [low, high];
}

function padded([low, high], share) {
  const pad = (high - low || Math.abs(high) || 1) * share;
  return [low - pad, high + pad];
}

function linear([low, high], [from, to]) {
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

/** "M..L..", broken where a value is missing. */
function linePath(points) {
  let path = "";
  let pen = "M";
  for (const [x, y] of points) {
    if (x === null || y === null) {
      pen = "M";
    } else {
      path += `${pen}${x.toFixed(1)},${y.toFixed(1)}`;
      pen = "L";
    }
  }
  return path;
}

function bandPath(series, x, y) {
  const known = series.x.map((_, index) => index)
    .filter((index) => series.low[index] !== null && series.high[index] !== null);
  const upper = known.map((index) => [x(series.x[index]), y(series.high[index])]);
  const lower = known.map((index) => [x(series.x[index]), y(series.low[index])]).reverse();
  return known.length > 1 ? `${linePath([...upper, ...lower])}Z` : "";
}

function drawErrorBars(group, series, x, y) {
  series.x.forEach((value, index) => {
    if (series.low[index] === null || series.high[index] === null) return;
    const [at, top, bottom] = [x(value), y(series.high[index]), y(series.low[index])];
    group.append(shape("path", {
      d: `M${at},${top}V${bottom}M${at - 4},${top}h8M${at - 4},${bottom}h8`,
      class: "error-bar",
    }));
  });
}

function drawSeries(plot, series, x, y) {
  const group = shape("g", { style: `color: ${series.colour}`, opacity: series.opacity });
  if (series.low) {
    if (series.line !== "none") {
      group.append(shape("path", { d: bandPath(series, x, y), class: "band" }));
    }
    if (series.bars) drawErrorBars(group, series, x, y);
  }
  const points = series.x.map((value, index) => {
    const missing = value === null || series.y[index] === null || series.y[index] === undefined;
    return missing ? [null, null] : [x(value), y(series.y[index])];
  });
  if (series.line !== "none") {
    group.append(shape("path", {
      d: linePath(points), class: "line", "stroke-width": series.width ?? 2,
      "stroke-dasharray": series.line === "dashed" ? "7 5" : null,
    }));
  }
  if (series.mark) {
    for (const [px, py] of points) {
      if (px === null) continue;
      group.append(shape("path", {
        d: MARKS[series.mark], class: `mark ${series.mark}`,
        transform: `translate(${px.toFixed(1)},${py.toFixed(1)})`,
      }));
    }
  }
  plot.append(group);
}

function drawAxes(plot, spec, scales, frame) {
  const { left, top, right, bottom } = frame;
  for (const value of scales.yTicks.values) {
    const at = scales.y(value).toFixed(1);
    plot.append(
      shape("path", { d: `M${left},${at}H${right}`, class: "grid" }),
      shape("text", { x: left - 8, y: at, dy: "0.32em", "text-anchor": "end" },
        tickText(value, scales.yTicks.size)));
  }
  for (const value of scales.xTicks.values) {
    const at = scales.x(value).toFixed(1);
    plot.append(
      shape("path", { d: `M${at},${bottom}v5`, class: "tick" }),
      shape("text", { x: at, y: bottom + 19, "text-anchor": "middle" },
        tickText(value, scales.xTicks.size)));
  }
  plot.append(
    shape("path", { d: `M${left},${bottom}H${right}`, class: "axis" }),
    shape("text", {
      x: (left + right) / 2, y: bottom + 39, "text-anchor": "middle", class: "axis-label",
    }, spec.x.label),
    shape("text", { x: 0, y: 11, class: "axis-label" }, spec.y.label));
  if (spec.y.zeroLine && scales.yTicks.values.includes(0)) {
    plot.append(shape("path", { d: `M${left},${scales.y(0)}H${right}`, class: "axis" }));
  }
}

function drawChart(plot, spec, width) {
  const nominal = typeof spec.height === "function" ? spec.height(width) : spec.height ?? 300;
  const all = (name) => spec.series.flatMap((series) => series[name] ?? []);
  const xRange = spec.x.range ?? padded(extent(all("x")), spec.x.pad ?? 0);
  const yRange = spec.y.range
    ?? padded(extent([...all("y"), ...all("low"), ...all("high")]), 0.06);
  const yTicks = ticks(yRange[0], yRange[1], Math.max(2, nominal / 56));
  const longest = Math.max(...yTicks.values.map((value) => tickText(value, yTicks.size).length));
  const left = 14 + longest * 7.4;
  // A square has as many pixels per unit upwards as along.
  const height = spec.square ? width - left - 14 + 26 + 46 : nominal;
  const frame = { left, top: 26, right: width - 14, bottom: height - 46 };
  const xTicks = ticks(xRange[0], xRange[1], Math.max(4, (frame.right - frame.left) / 84),
    spec.x.integer);
  const scales = {
    x: linear(xRange, [frame.left, frame.right]), xTicks,
    y: linear(yRange, [frame.bottom, frame.top]), yTicks,
  };
  plot.setAttribute("width", width);
  plot.setAttribute("height", height);
  plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
  plot.replaceChildren();
  drawAxes(plot, spec, scales, frame);
  for (const series of spec.series) drawSeries(plot, series, scales.x, scales.y);
  return { scales, frame };
}

function legendEntry(series) {
  const sample = shape("svg", {
    width: 34, height: 14, viewBox: "-17 -7 34 14", "aria-hidden": "true",
    style: `color: ${series.colour}`,
  });
  const banded = series.line !== "none" && series.low && series.low.some((value) => value !== null);
  if (banded) sample.append(shape("rect", { x: -17, y: -6, width: 34, height: 12, class: "band" }));
  if (series.line !== "none") {
    sample.append(shape("path", {
      d: "M-17,0H17", class: "line", "stroke-width": series.width ?? 2,
      "stroke-dasharray": series.line === "dashed" ? "7 5" : null,
    }));
  }
  if (series.mark) sample.append(shape("path", { d: MARKS[series.mark], class: `mark ${series.mark}` }));
  return element("li", {}, sample, element("span", {}, series.name));
}

/** What the lines and marks of charts stand for. */
function legend(series) {
  const named = series.filter((one) => one.legend !== false);
  return element("ul", { class: "legend", "aria-label": "Legend" }, named.map(legendEntry));
}

/**
 * A figure: the chart, its legend, and a table of the same numbers.
 *
 * spec: label, description (what the picture shows, in words), x and y ({label, range?, integer?}),
 * series ({name, colour, x, y, low?, high?, bars?, line?, width?, mark?, opacity?, legend?}),
 * columns and rows (a function) of the table, height? (number or function of the width), square?,
 * legend? (false where one beside the figure serves several), onDraw?.
 */
function chart(spec) {
  const plot = shape("svg", { role: "img", "aria-label": `${spec.label}. ${spec.description}` });
  const box = element("div", { class: "plot" }, plot);
  const figure = element("figure", { class: "chart" },
    element("figcaption", {}, spec.label),
    spec.legend === false ? null : legend(spec.series),
    box,
    spec.columns ? valuesTable(spec.label, spec.columns, spec.rows) : null);
  drawAtWidth(box, (width) => {
    const drawn = drawChart(plot, spec, width);
    if (spec.onDraw) spec.onDraw(plot, drawn.scales, drawn.frame);
  });
  return figure;
}
