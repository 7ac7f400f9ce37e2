"use strict";

// Several tasks side by side, one colour per adaptation step: paths in the plane, or the quantity
// that the tasks are about over time.

function points(packed) {
  const numbers = unpack(packed);
  return Array.from({ length: numbers.length / 2 }, (_, index) => [numbers[2 * index], numbers[2 * index + 1]]);
}

function pathSeries(paths) {
  return paths.flatMap((episodes, step) => episodes.map((path, episode) => ({
    name: stepName(step), legend: episode === 0, colour: stepColour(step),
    width: 1.2, opacity: 0.75,
    x: path.map(([x]) => x), y: path.map(([, y]) => y),
  })));
}

function goalSeries(goal) {
  if (!goal) return [];
  const [x, y] = goal.position;
  return [{ name: "goal", colour: "var(--ink)", mark: "cross", line: "none", x: [x], y: [y] }];
}

function pathPanel(task, range) {
  const paths = task.steps.map((step) => step.paths.map(points));
  const ends = paths.map((episodes, step) => {
    const [x, y] = [0, 1].map((axis) =>
      episodes.reduce((sum, path) => sum + path.at(-1)[axis], 0) / episodes.length);
    return `(${decimal(x, 2)}, ${decimal(y, 2)}) ${stepName(step)}`;
  });
  return chart({
    label: task.label, legend: false, square: true,
    description: `Paths from the start. They end, in the mean, at ${ends.join(", ")}.`,
    x: { label: "x", range: range.x }, y: { label: "y", range: range.y },
    series: [...pathSeries(paths), ...goalSeries(task.goal)],
    columns: ["adaptation", "path", "steps", "start x", "start y", "end x", "end y"],
    rows: () => paths.flatMap((episodes, step) => episodes.map((path, episode) => [
      stepName(step), String(episode + 1), String(path.length - 1),
      ...[...path[0], ...path.at(-1)].map((value) => decimal(value, 3))])),
  });
}

/** A level to reach; a mere direction is none. */
function targetSeries(task, end) {
  if (task.target === null || task.aim !== "value") return [];
  return [{
    name: "target", colour: "var(--ink)", line: "dashed", width: 1.5,
    x: [0, end], y: [task.target, task.target],
  }];
}

function signalPanel(task, replays) {
  const perStep = replays.seconds_per_step ?? 1;
  const series = task.steps.map((step, index) => ({
    name: stepName(index), colour: stepColour(index), width: 1.5,
    x: step.signal.map((_, time) => (time + 1) * perStep), y: step.signal,
  }));
  const horizon = Math.max(...task.steps.map((step) => step.signal.length)) * perStep;
  const means = task.steps.map((step, index) =>
    `${decimal(step.signal.reduce((sum, value) => sum + value, 0) / step.signal.length, 2)} ${stepName(index)}`);
  return chart({
    label: task.label, legend: false,
    description: `Mean ${replays.signal.label}: ${means.join(", ")}.`
      + (targetSeries(task, 1).length ? ` Target ${decimal(task.target, 2)}.` : ""),
    x: { label: replays.seconds_per_step ? "time, s" : "step", pad: 0 },
    y: { label: replays.signal.axis_label, range: replays.signal.range }, height: 230,
    series: [...series, ...targetSeries(task, horizon)],
    columns: [replays.seconds_per_step ? "time, s" : "step",
      ...task.steps.map((_, index) => stepName(index))],
    rows: () => Array.from({ length: Math.round(horizon / perStep) }, (_, time) => [
      decimal((time + 1) * perStep, replays.seconds_per_step ? 2 : 0),
      ...task.steps.map((step) => decimal(step.signal[time], 2))]),
  });
}

function showTrajectories(replays) {
  const section = document.getElementById("trajectories");
  if (!replays) {
    removeSection("trajectories");
    return;
  }
  const [first] = replays.tasks;
  const shared = first.steps.map((_, step) => ({
    name: stepName(step), colour: stepColour(step),
  })).concat(replays.view === "plane" ? goalSeries(first.goal) : targetSeries(first, 1));
  const panels = replays.view === "plane"
    ? replays.tasks.map((task) => pathPanel(task, replays.range))
    : replays.tasks.map((task) => signalPanel(task, replays));
  section.append(element("p", { class: "quiet" }, replays.trajectories_text),
    legend(shared), element("div", { class: "panels" }, panels));
}
