"use strict";

// The table of tasks: sorted by any column, with a button or a key press in its heading.

/** Whether a task lost return, and whether that is more than the spread of its episodes explains. */
function verdict(row, numRuns) {
  if (numRuns > 1 && row.num_losing > 0) return `loses in ${row.num_losing} of ${numRuns} runs`;
  const word = row.gain < 0 ? "loses" : "gains";
  if (row.gain_interval === null) return word;
  return Math.abs(row.gain) > row.gain_interval ? word : `${word}, within noise`;
}

function taskColumns(report, digits) {
  const { tasks, adaptation } = report;
  const last = adaptation.mean.length - 1;
  const columns = [
    { label: "task", value: (row) => row.index, text: (row) => String(row.index) },
    ...tasks.parameter_names.map((name, index) => ({
      label: name, value: (row) => row.task[index], text: (row) => decimal(row.task[index], 3),
    })),
    ...adaptation.steps.map((step) => ({
      label: step === 0 ? "before" : plural(step, "step"),
      value: (row) => row.values[step], text: (row) => decimal(row.values[step], digits),
    })),
  ];
  if (last > 0) {
    const sure = hasIntervals(tasks);
    columns.push({
      label: sure ? "gain \u00b1 95 %" : "gain", value: (row) => row.gain,
      text: (row) => signed(row.gain, digits)
        + (sure ? ` \u00b1 ${decimal(row.gain_interval, digits)}` : ""),
      mark: (row) => (Math.abs(row.gain) <= row.gain_interval ? null : row.gain < 0 ? "loses" : "gains"),
    }, {
      label: "by adapting",
      value: (row) => [-row.num_losing, row.gain / (row.gain_interval ?? 1)],
      text: (row) => verdict(row, tasks.num_runs),
      mark: (row) => (row.num_losing > 0 ? "loses" : null),
    });
  }
  return columns;
}

function taskRow(row, columns, watch) {
  const cells = columns.map((column, index) => element(index === 0 ? "th" : "td",
    { scope: index === 0 ? "row" : null, class: column.mark ? column.mark(row) : null },
    column.text(row)));
  const button = watch(row);
  return element("tr", {}, cells, element("td", {}, button ?? ""));
}

/** Numbers, or lists of them from the most to the least important. */
function compare(a, b) {
  const [first, second] = [[a].flat(), [b].flat()];
  const differing = first.findIndex((value, index) => value !== second[index]);
  return differing < 0 ? 0 : first[differing] - second[differing];
}

function losingText({ tasks, quantity }) {
  const what = tasks.num_runs > 1 ? "pairs of run and task" : "tasks";
  const share = decimal((100 * tasks.num_losing) / tasks.num_pairs, 0);
  const side = quantity.lower_is_better ? "above" : "below";
  return `${tasks.num_losing} of ${tasks.num_pairs} ${what} (${share} %) ${quantity.losing} `
    + `by adapting: their mean after the last step is ${side} that before the first. `
    + (hasIntervals(tasks) ? `${tasks.num_clearly_losing} of them lose more than the 95 % `
      + "interval of the difference." : "");
}

function showTasks(report, watch) {
  const section = document.getElementById("tasks");
  const { rows } = report.tasks;
  const columns = taskColumns(report, digitsFor(report.adaptation.mean));
  const body = element("tbody");
  const status = element("p", { class: "hidden", role: "status" });
  const headings = columns.map((column) => element("th", { scope: "col" },
    element("button", { type: "button", class: "sort", click: () => sortBy(column) },
      column.label)));
  const sorting = { column: null, descending: false };

  function sortBy(column) {
    sorting.descending = sorting.column === column && !sorting.descending;
    sorting.column = column;
    const sign = sorting.descending ? -1 : 1;
    const order = [...rows].sort((a, b) => sign * compare(column.value(a), column.value(b)));
    body.replaceChildren(...order.map((row) => taskRow(row, columns, watch)));
    const direction = sorting.descending ? "descending" : "ascending";
    headings.forEach((heading, index) => {
      if (columns[index] === column) heading.setAttribute("aria-sort", direction);
      else heading.removeAttribute("aria-sort");
    });
    status.textContent = `Sorted by ${column.label}, ${direction}.`;
  }

  sortBy(columns[0]);
  status.textContent = "";
  section.append(
    element("p", { class: "quiet" }, `${report.tasks.text} `,
      report.adaptation.mean.length > 1 ? losingText(report) : ""),
    scrollBox("Table of tasks", element("table", { id: "task-table" },
      element("caption", { class: "hidden" },
        `${capital(report.quantity.label)} of each task before adapting and after each step; headings sort.`),
      element("thead", {}, element("tr", {}, headings,
        element("th", { scope: "col" }, element("span", { class: "hidden" }, "replay")))),
      body)),
    status);
}
