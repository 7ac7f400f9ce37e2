"use strict";

// How fast it adapts: returns, losses or accuracies against adaptation steps and over tasks.

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
    x: steps, y: row.values,
  }));
  const runs = adaptation.runs.length === 1 ? [] : adaptation.runs.map((run, index) => ({
    name: "each run", legend: index === 0, colour: "var(--accent)", width: 1, x: steps, y: run.mean,
  }));
  const others = references.map((reference, index) => referenceSeries(reference, index, steps));
  const main = {
    name: (report.evaluation.about ? `${report.evaluation.about}: ` : "")
      + `${adaptation.statistic} and 95 % interval`,
    colour: "var(--accent)",
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
  const known = adaptation.steps.map((step) =>
    `${decimal(adaptation.mean[step], digits)} ${stepName(step)}`);
  return chart({
    label: `${capital(report.quantity.label)} against adaptation steps`,
    description: `${adaptation.statistic}: ${known.join(", ")}.`,
    x: { label: "adaptation steps", integer: true, pad: 0.04 },
    y: { label: report.quantity.axis },
    height: (width) => (width < 500 ? 320 : 400),
    series: adaptationSeries(report),
    columns: ["adaptation steps", ...names.flatMap((name) => [name, "lower end", "upper end"])],
    rows: () => adaptation.mean.map((_, step) => [
      String(step), ...[adaptation, ...references].flatMap((curve) => cells(curve, step))]),
  });
}

function taskValueColumns({ tasks, adaptation }) {
  return [...tasks.parameter_names,
    ...adaptation.steps.map((step) => stepName(step) + (hasIntervals(tasks)
      ? ", \u00b1 95 % over episodes" : ""))];
}

function taskValues(row, { adaptation }, digits) {
  return [...row.task.map((value) => decimal(value, 3)), ...adaptation.steps.map((step) =>
    decimal(row.values[step], digits) + (row.intervals[step] === null
      ? "" : ` \u00b1 ${decimal(row.intervals[step], digits)}`))];
}

/** Whether there are episodes, whose spread says how sure the value of a task is. */
function hasIntervals(tasks) {
  return tasks.rows.some((row) => row.intervals[0] !== null);
}

/** Tasks of one parameter: the value over the range of tasks, one colour per adaptation step. */
function rangeChart(report) {
  const { tasks, adaptation } = report;
  const [name] = tasks.parameter_names;
  const digits = digitsFor(adaptation.mean);
  const rows = [...tasks.rows].sort((a, b) => a.task[0] - b.task[0]);
  return chart({
    label: `${capital(report.quantity.label)} over the tasks, with the 95 % interval of each`,
    description: `One point per task and adaptation step, against ${name}; `
      + "bars are 95 % intervals over the task's episodes.",
    x: { label: tasks.parameter_labels[0], pad: 0.03 },
    y: { label: report.quantity.axis },
    height: (width) => (width < 500 ? 320 : 400),
    series: adaptation.steps.map((step, index) => ({
      name: stepName(step), colour: stepColour(index), mark: stepMark(index),
      line: "none", bars: true,
      x: rows.map((row) => row.task[0]), y: rows.map((row) => row.values[step]),
      low: rows.map((row) => bound(row, step, -1)),
      high: rows.map((row) => bound(row, step, 1)),
    })),
    columns: taskValueColumns(report),
    rows: () => rows.map((row) => taskValues(row, report, digits)),
  });
}

/** Tasks that are places in the plane: where they lie, and what they lose or gain by adapting. */
function placeChart(report) {
  const { tasks, adaptation } = report;
  const digits = digitsFor(adaptation.mean);
  const last = adaptation.mean.length - 1;
  const sign = report.quantity.lower_is_better ? -1 : 1;
  const sorted = [...tasks.rows].sort((a, b) => sign * (a.values[last] - b.values[last]));
  const numGroups = Math.min(4, sorted.length);
  const marks = ["triangle", "diamond", "square", "circle"];
  const groups = Array.from({ length: numGroups }, (_, index) => sorted.slice(
    Math.round((index * sorted.length) / numGroups),
    Math.round(((index + 1) * sorted.length) / numGroups)));
  return chart({
    label: `Where ${report.quantity.label} is left, ${stepName(last)}`,
    description: "One point per task at its two parameters, in four groups by it; "
      + "the table of tasks below has the numbers.",
    x: { label: tasks.parameter_labels[0], pad: 0.05 },
    y: { label: tasks.parameter_labels[1] },
    height: (width) => (width < 500 ? 320 : 400),
    series: groups.map((group, index) => ({
      name: `${decimal(group[0].values[last], digits)} to `
        + decimal(group[group.length - 1].values[last], digits),
      colour: ["var(--loss)", "var(--step-1)", "var(--muted)", "var(--gain)"][index],
      mark: marks[index], line: "none",
      x: group.map((row) => row.task[0]), y: group.map((row) => row.task[1]),
    })),
    columns: taskValueColumns(report),
    rows: () => sorted.map((row) => taskValues(row, report, digits)),
  });
}

function bound(row, step, sign) {
  return row.intervals[step] === null ? null : row.values[step] + sign * row.intervals[step];
}

/** Another quantity of the same tasks, of every group. */
function furtherChart({ label, curves }) {
  const digits = digitsFor(curves.flatMap((curve) => curve.mean));
  return chart({
    label: `${capital(label)} against adaptation steps`,
    description: `At the last step ${curves.map((curve) =>
      `${decimal(curve.mean.at(-1), digits)} for ${curve.name}`).join(", ")}.`,
    x: { label: "adaptation steps", integer: true, pad: 0.04 }, y: { label },
    height: (width) => (width < 500 ? 320 : 400),
    series: curves.map((curve, index) => ({
      name: curve.name, colour: stepColour(index + 1), mark: stepMark(index), bars: true,
      x: curve.mean.map((_, step) => step), y: curve.mean, low: curve.low, high: curve.high,
    })),
    columns: ["adaptation steps", ...curves.map((curve) => curve.name)],
    rows: () => curves[0].mean.map((_, step) => [
      String(step), ...curves.map((curve) => decimal(curve.mean[step], digits))]),
  });
}

function showAdaptation(report) {
  const section = document.getElementById("adaptation");
  const numParameters = report.tasks.parameter_names.length;
  const over = { 1: rangeChart, 2: placeChart }[numParameters];
  section.append(
    element("p", { class: "quiet" }, report.adaptation.text),
    element("div", { class: "pair" }, adaptationChart(report), over ? over(report) : null,
      ...report.adaptation.further.map(furtherChart)));
}
