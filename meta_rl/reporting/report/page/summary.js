"use strict";

// The head of the page, and the tables of settings and machine.

function keyFigure(label, value, note) {
  return element("div", {}, element("dt", {}, label),
    element("dd", {}, value, note ? element("small", {}, note) : null));
}

function interval(low, high, digits) {
  return low === null ? null : `95 %: ${decimal(low, digits)} to ${decimal(high, digits)}`;
}

function showHead(report) {
  const { adaptation, tasks, evaluation, runs, quantity } = report;
  const last = adaptation.mean.length - 1;
  const digits = digitsFor(adaptation.mean);
  const names = runs.map((run) => run.name).join(", ");
  document.getElementById("subtitle").textContent =
    `${runs.length === 1 ? "Run" : `${runs.length} runs:`} ${names}. `
    + `Adaptation to ${plural(tasks.rows.length, evaluation.held_out ? "held-out task" : "task")}, `
    + `${evaluation.per_task}.`
    + (evaluation.about ? ` The figures and the table of tasks are of ${evaluation.about}.` : "");
  const figures = adaptation.steps.map((step) => keyFigure(
    `${capital(quantity.label)} ${stepName(step)}`, decimal(adaptation.mean[step], digits),
    interval(adaptation.low[step], adaptation.high[step], digits)));
  if (last > 0) {
    const share = decimal((100 * tasks.num_losing) / tasks.num_pairs, 0);
    const noise = hasIntervals(tasks) ? `; ${tasks.num_clearly_losing} beyond the noise` : "";
    figures.push(keyFigure(
      `${tasks.num_runs > 1 ? "Runs and tasks" : "Tasks"} that ${quantity.losing}`,
      `${tasks.num_losing} of ${tasks.num_pairs}`, `${share} % by adapting${noise}`));
    if (adaptation.env_steps_used) {
      figures.push(keyFigure(`Experience to adapt by ${plural(last, "step")}`,
        compact(adaptation.env_steps_used[last]), "env steps on each task"));
    }
  }
  document.getElementById("key-figures").append(...figures);
  document.getElementById("warnings").append(
    ...report.warnings.map((warning) => element("p", { class: "notice" }, warning)));
}

function factRows(runs) {
  const labels = [...new Set(runs.flatMap((run) => run.facts.map(([label]) => label)))];
  return labels.map((label) => [label, ...runs.map((run) =>
    (run.facts.find(([name]) => name === label) ?? [label, "\u2013"])[1])]);
}

function wordyTable(caption, columns, rows, differs = () => false) {
  const table = plainTable(caption, columns, rows);
  table.classList.add("wordy", caption.toLowerCase());
  table.querySelectorAll("tbody tr").forEach((row, index) => {
    if (differs(rows[index])) row.classList.add("differs");
  });
  return table;
}

function showSettings(report) {
  const section = document.getElementById("settings");
  const { runs, settings } = report;
  const names = runs.map((run) => run.name);
  const values = (setting) => (setting.values.length === 1
    ? [setting.values[0], ...names.slice(1).map(() => "same")]
    : setting.values);
  const rows = settings.map((setting) => [setting.name, ...values(setting), setting.description]);
  const differing = new Set(settings.filter((s) => s.values.length > 1).map((s) => s.name));
  const agreement = differing.size
    ? `The runs differ in ${[...differing].join(", ")}.`
    : "The runs have the same settings.";
  fill(section, {}, [
    scrollBox("Runs and machine", wordyTable("Machine", ["", ...names], factRows(runs))),
    element("h3", {}, "Settings"),
    runs.length > 1 ? element("p", { class: "quiet" }, agreement) : null,
    element("details", { class: "more" }, element("summary", {}, `All ${settings.length} settings`),
      scrollBox("Settings", wordyTable("Settings", ["setting", ...names, "meaning"], rows,
        ([name]) => differing.has(name)))),
  ]);
}

function showFooter(report) {
  document.getElementById("footer").append(element("p", {},
    `Made by meta-rl ${report.version} on ${report.created}. It loads nothing from a network.`));
}
