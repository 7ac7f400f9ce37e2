"use strict";

// How it was learned: values on training and validation tasks, over meta-iterations or env steps.

const X_AXES = {
  meta_iteration: { label: "meta-iterations", pad: 0.01, integer: true },
  env_steps: { label: "env steps", pad: 0.01 },
};

function bounds(mean, halfWidth) {
  return {
    low: mean.map((value, index) => (halfWidth[index] === null ? null : value - halfWidth[index])),
    high: mean.map((value, index) => (halfWidth[index] === null ? null : value + halfWidth[index])),
  };
}

/** What the values of a row are: those of an adaptation step, or all that training tells. */
function rowName(table, row) {
  return table.steps ? stepName(table.steps[row]) : "as training lowers it";
}

/** One line per run and adaptation step, of a table {meta_iteration, env_steps, mean, interval}. */
function learningSeries(curves, table, axis, marks) {
  return curves.flatMap((curve, runIndex) => {
    const { mean, interval } = curve[table];
    return mean.map((values, step) => ({
      name: rowName(curve[table], step)
        + (curves.length === 1 ? "" : `, ${plural(curves.length, "run")}`),
      legend: runIndex === 0, colour: stepColour(step),
      width: 1.6, mark: marks ? stepMark(step) : null,
      opacity: curves.length > 1 ? 0.75 : 1,
      x: curve[table][axis], y: values, ...bounds(values, interval[step]),
    }));
  });
}

/** What is left out of long curves, in words, or "". */
function thinningText(curves, table) {
  const thinned = curves.filter((curve) =>
    curve[table].meta_iteration.length < curve.num_recorded[table]);
  if (thinned.length === 0) return "";
  const counts = thinned.map((curve) =>
    `${curve[table].meta_iteration.length} of ${curve.num_recorded[table]} points`
    + (curves.length > 1 ? ` of ${curve.run}` : ""));
  return ` Picture and table are thinned to ${counts.join(", ")}: the ends, and the least and the`
    + " greatest value of every stretch.";
}

function learningChart(label, curves, table, axis, marks) {
  const present = curves.filter((curve) => curve[table].meta_iteration.length > 0);
  if (present.length === 0) return null;
  const digits = digitsFor(present.flatMap((curve) => curve[table].mean.flat()));
  const longest = present.map((curve) => curve[table]).reduce((a, b) =>
    (b.mean.length > a.mean.length ? b : a));
  const steps = longest.mean.map((_, step) => step);
  const named = steps.map((step) => rowName(longest, step));
  const ends = present.map((curve) => steps.map((step) =>
    `${decimal(curve[table].mean[step]?.at(-1), digits)} ${named[step]}`).join(", "));
  return chart({
    label,
    description: `At the end ${ends.map((end, index) =>
      (present.length > 1 ? `of ${present[index].run}: ${end}` : end)).join("; ")}.`
      + thinningText(present, table),
    x: X_AXES[axis], height: 300,
    y: { label: longest.quantity === "return" ? "undiscounted return" : longest.quantity },
    series: learningSeries(present, table, axis, marks),
    columns: ["run", "meta-iteration", "env steps",
      ...steps.flatMap((step) => [named[step], "\u00b1 95 %"])],
    rows: () => present.flatMap((curve) => curve[table].meta_iteration.map((iteration, index) => [
      curve.run, String(iteration), compactOrNone(curve[table].env_steps[index]),
      ...steps.flatMap((step) => [
        decimal(curve[table].mean[step]?.[index], digits),
        decimal(curve[table].interval[step]?.[index], digits)]),
    ])),
  });
}

function diagnosticChart(label, description, curves, name, axis) {
  const present = curves.filter((curve) => curve.diagnostics[name].some((value) => value !== null));
  if (present.length === 0) return null;
  const digits = digitsFor(present.flatMap((curve) => curve.diagnostics[name]));
  return chart({
    label, description, height: 210,
    x: X_AXES[axis], y: { label: "" },
    series: present.map((curve, index) => ({
      name: curve.run, legend: present.length > 1, width: 1.6,
      colour: stepColour(index),
      x: curve.training[axis], y: curve.diagnostics[name],
    })),
    columns: ["run", "meta-iteration", label],
    rows: () => present.flatMap((curve) => curve.training.meta_iteration.map((iteration, index) => [
      curve.run, String(iteration), decimal(curve.diagnostics[name][index], digits)])),
  });
}

function showLearning(report) {
  const section = document.getElementById("learning");
  const curves = report.learning;
  if (curves.every((curve) => curve.training.meta_iteration.length === 0)) {
    section.append(element("p", { class: "quiet" }, "There is no record of the meta-iterations."));
    return;
  }
  const box = element("div");
  const draw = (axis) => box.replaceChildren(...[
    learningChart("Training tasks, as each meta-iteration sampled them", curves, "training", axis),
    learningChart("Validation tasks, which choose the iteration that is kept", curves,
      "validation", axis, true),
    element("div", { class: "pair" }, ...[
      diagnosticChart("Learned standard deviation of the actions",
        "Mean over the action's entries, before the floor policy.min_std.",
        curves, "policy_std", axis),
      diagnosticChart("KL divergence of each meta-update, nats",
        "Mean over the episodes after adapting; zero where the line search failed.",
        curves, "kl", axis),
      diagnosticChart("Norm of each meta-update",
        "Of the meta-gradient, or of the way that the parameters went.",
        curves, "update_norm", axis)].filter(Boolean)),
  ].filter(Boolean));
  section.append(
    element("p", { class: "quiet" }, "Bands are 95 % intervals over tasks.",
      ...["training", "validation"].map((table) => {
        const text = thinningText(curves, table);
        return text ? ` ${table === "training" ? "Training" : "Validation"} tasks:${text}` : "";
      })),
    curves[0].training.env_steps.every((steps) => steps === null) ? "" : segmented("Over",
      [["meta_iteration", "meta-iterations"], ["env_steps", "env steps"]], "meta_iteration", draw),
    box);
  draw("meta_iteration");
}
