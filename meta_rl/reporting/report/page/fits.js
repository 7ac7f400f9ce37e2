"use strict";

// Functions that a network was adapted to: the truth, the examples, and what it says.

function fitPanel(task, steps) {
  const digits = digitsFor(task.truth);
  return chart({
    label: `${task.label} (${task.reasons})`, legend: false, height: 260,
    description: `The function, ${plural(task.support.x.length, "support example")} and what the `
      + `network says ${steps.map(stepName).join(", ")}.`,
    x: { label: "x" }, y: { label: "y" },
    series: fitSeries(task, steps),
    columns: ["x", "truth", ...steps.map(stepName)],
    rows: () => task.x.map((x, index) => [decimal(x, 2), decimal(task.truth[index], digits),
      ...task.predictions.map((values) => decimal(values[index], digits))]),
  });
}

function fitSeries(task, steps) {
  return [
    { name: "truth", colour: "var(--ink)", line: "dashed", width: 1.5, x: task.x, y: task.truth },
    ...steps.map((step, index) => ({
      name: stepName(step), colour: stepColour(index), width: 1.6,
      x: task.x, y: task.predictions[index],
    })),
    {
      name: "support", colour: "var(--ink)", mark: "triangle", line: "none",
      x: task.support.x, y: task.support.y,
    },
  ];
}

function showFits(fits) {
  if (!fits) {
    removeSection("fits");
    return;
  }
  const shared = legend(fitSeries(fits.tasks[0], fits.steps));
  document.getElementById("fits").append(element("p", { class: "quiet" }, fits.text), shared,
    element("div", { class: "panels" }, fits.tasks.map((task) => fitPanel(task, fits.steps))));
}
