"use strict";

// How fast it adapts: return against adaptation steps, and over the range of tasks.

/** A reference that does not adapt, an oracle for example, is a level across the picture. */
function referenceSeries(reference, index, steps) {
  const level = reference.mean.length === 1;
  const along = (values) => (level ? steps.map(() => values[0]) : values);
  return {
    name: reference.name, colour: referenceColour(index),
    mark: level ? null : REFERENCE_MARKS[index % REFERENCE_MARKS.length],
    line: "dashed", bars: !level, x: level ? steps : reference.mean.map((_, step) => step),
    y: along(reference.mean), low: along(reference.low), high: along(reference.high),
  };
}

function adaptationSeries(report) {
  const { adaptation, tasks } = report;
  const { references } = adaptation;
  const steps = adaptation.mean.map((_, step) => step);
  const faint = tasks.rows.map((row, index) => ({
    name: index === 0 ? "each task" : "", legend: index === 0,
    colour: "var(--muted)", opacity: tasks.rows.length > 15 ? 0.3 : 0.45, width: 1,
    x: steps, y: row.returns,
  }));
  const runs = adaptation.runs.length === 1 ? [] : adaptation.runs.map((run, index) => ({
    name: "each run", legend: index === 0, colour: "var(--accent)", width: 1, x: steps, y: run.mean,
  }));
  const others = references.map((reference, index) => referenceSeries(reference, index, steps));
  const main = {
    name: `${adaptation.statistic} and 95 % interval`, colour: "var(--accent)",
    x: steps, y: adaptation.mean, low: adaptation.low, high: adaptation.high,
    bars: true, mark: "circle", width: 3,
  };
  return [...faint, ...runs, ...others, main];
}

function adaptationChart(report) {
  const { adaptation } = report;
  const { references } = adaptation;
  const digits = digitsFor(adaptation.mean);
  const cells = ({ mean, low, high }, step) => (step < mean.length
    ? [decimal(mean[step], digits), decimal(low[step], digits), decimal(high[step], digits)]
    : ["\u2013", "\u2013", "\u2013"]);
  const names = [adaptation.statistic, ...references.map((reference) => reference.name)];
  const known = adaptation.mean.map((mean, step) => `${decimal(mean, digits)} ${stepName(step)}`);
  return chart({
    label: "Return against adaptation steps",
    description: `${adaptation.statistic}: ${known.join(", ")}.`,
    x: { label: "adaptation steps", integer: true, pad: 0.04 },
    y: { label: "undiscounted return" },
    height: (width) => (width < 500 ? 320 : 400),
    series: adaptationSeries(report),
    columns: ["adaptation steps", ...names.flatMap((name) => [name, "lower end", "upper end"])],
    rows: () => adaptation.mean.map((_, step) => [
      String(step), ...[adaptation, ...references].flatMap((curve) => cells(curve, step))]),
  });
}

function taskValueColumns({ tasks, adaptation }) {
  return [...tasks.parameter_names,
    ...adaptation.mean.map((_, step) => `${stepName(step)}, \u00b1 95 % over episodes`)];
}

function taskValues(row, digits) {
  return [...row.task.map((value) => decimal(value, 3)), ...row.returns.map((value, step) =>
    `${decimal(value, digits)} \u00b1 ${decimal(row.intervals[step], digits)}`)];
}

/** Tasks of one parameter: the return over the range of tasks, one colour per adaptation step. */
function rangeChart(report) {
  const { tasks, adaptation } = report;
  const [name] = tasks.parameter_names;
  const digits = digitsFor(adaptation.mean);
  const rows = [...tasks.rows].sort((a, b) => a.task[0] - b.task[0]);
  return chart({
    label: "Return over the tasks, with the 95 % interval of each",
    description: `One point per task and adaptation step, against ${name}; `
      + "bars are 95 % intervals over the task's episodes.",
    x: { label: tasks.parameter_labels[0], pad: 0.03 },
    y: { label: "undiscounted return" },
    height: (width) => (width < 500 ? 320 : 400),
    series: adaptation.mean.map((_, step) => ({
      name: stepName(step), colour: stepColour(step), mark: stepMark(step),
      line: "none", bars: true,
      x: rows.map((row) => row.task[0]), y: rows.map((row) => row.returns[step]),
      low: rows.map((row) => row.returns[step] - row.intervals[step]),
      high: rows.map((row) => row.returns[step] + row.intervals[step]),
    })),
    columns: taskValueColumns(report),
    rows: () => rows.map((row) => taskValues(row, digits)),
  });
}

/** Tasks that are places in the plane: where they lie, and what they lose or gain by adapting. */
function placeChart(report) {
  const { tasks, adaptation } = report;
  const digits = digitsFor(adaptation.mean);
  const last = adaptation.mean.length - 1;
  const sorted = [...tasks.rows].sort((a, b) => a.returns[last] - b.returns[last]);
  const numGroups = Math.min(4, sorted.length);
  const marks = ["triangle", "diamond", "square", "circle"];
  const groups = Array.from({ length: numGroups }, (_, index) => sorted.slice(
    Math.round((index * sorted.length) / numGroups),
    Math.round(((index + 1) * sorted.length) / numGroups)));
  return chart({
    label: `Where return is left, ${stepName(last)}`,
    description: "One point per task at its two parameters, in four groups by return; "
      + "the table of tasks below has the numbers.",
    x: { label: tasks.parameter_labels[0], pad: 0.05 },
    y: { label: tasks.parameter_labels[1] },
    height: (width) => (width < 500 ? 320 : 400),
    series: groups.map((group, index) => ({
      name: `${decimal(group[0].returns[last], digits)} to `
        + decimal(group[group.length - 1].returns[last], digits),
      colour: ["var(--loss)", "var(--step-1)", "var(--muted)", "var(--gain)"][index],
      mark: marks[index], line: "none",
      x: group.map((row) => row.task[0]), y: group.map((row) => row.task[1]),
    })),
    columns: taskValueColumns(report),
    rows: () => sorted.map((row) => taskValues(row, digits)),
  });
}

function showAdaptation(report) {
  const section = document.getElementById("adaptation");
  const numParameters = report.tasks.parameter_names.length;
  const over = { 1: rangeChart, 2: placeChart }[numParameters];
  section.append(
    element("p", { class: "quiet" }, report.adaptation.text),
    element("div", { class: "pair" }, adaptationChart(report), over ? over(report) : null));
}
