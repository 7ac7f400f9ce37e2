"use strict";

// Plays the replays: which task and adaptation step, where in time, how fast. It never starts by
// itself, whatever the reader's preference for motion.

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];
/** Without a simulated clock, one second shows so many steps. */
const STEPS_PER_SECOND = 20;
const SAY_AFTER = 400;

function unpackEpisode(step) {
  return {
    ...step,
    poses: step.poses && unpack(step.poses),
    camera: step.camera && unpack(step.camera),
    path: step.paths && unpack(step.paths[0]),
  };
}

function runningSum(values) {
  let sum = 0;
  return [0, ...values.map((value) => (sum += value))];
}

/** Fills the section of replays; returns (task index) => show, for the buttons of the table. */
function showReplays(report) {
  const section = document.getElementById("replays");
  const { replays } = report;
  if (!replays) {
    if (report.replays_missing) {
      section.append(element("p", { class: "quiet" }, report.replays_missing));
    } else {
      removeSection("replays");
    }
    return () => null;
  }
  const inPlane = replays.view === "plane";
  const perStep = replays.seconds_per_step ?? 1 / STEPS_PER_SECOND;
  const numSteps = replays.tasks[0].steps.length - 1;
  const state = { task: 0, step: numSteps, time: 0, speed: replays.speed, playing: false, shown: 0 };
  const episodes = new Map();

  const canvas = element("canvas", { class: "stage", role: "img" });
  const stageBox = element("div", {}, canvas);
  const readout = element("dl", { class: "readout" });
  const spoken = element("p", { class: "hidden", "aria-live": "polite", id: "replay-status" });
  const scrub = element("input", {
    type: "range", min: 0, step: 1, value: 0, "aria-label": "Time in the episode",
    input: () => { state.shown = Number(scrub.value); moveTo(state.shown); saySoon(); },
  });
  const clock = element("output", { class: "clock", "aria-live": "off" });
  const play = element("button", { type: "button", class: "primary", click: toggle }, "Play");
  const taskChoice = element("select", { id: "replay-task", change: () => {
    state.task = Number(taskChoice.value);
    begin();
  } }, replays.tasks.map((task, index) =>
    element("option", { value: index }, `${task.label} (task ${task.task_index}): ${task.reasons}`)));
  const speedChoice = element("select", { id: "replay-speed", change: () => { state.speed = Number(speedChoice.value); } },
    SPEEDS.map((speed) => element("option", { value: speed, selected: speed === state.speed },
      `${speed} \u00d7`)));
  const strip = element("div");
  let playhead = null;
  let lastFrame = null;
  let sayTimer = null;

  const current = () => {
    const key = `${state.task}/${state.step}`;
    if (!episodes.has(key)) {
      const episode = unpackEpisode(replays.tasks[state.task].steps[state.step]);
      episodes.set(key, { ...episode, returnSoFar: runningSum(episode.reward) });
    }
    return episodes.get(key);
  };
  const length = () => current().reward.length;

  function pacer() {
    const task = replays.tasks[state.task];
    if (inPlane || task.target === null || task.aim !== "value") return null;
    return current().camera[0] + task.target * state.time * perStep;
  }

  function draw() {
    const width = Math.floor(stageBox.clientWidth);
    if (width === 0) return;
    const task = replays.tasks[state.task];
    if (inPlane) {
      drawPlane(canvas, width, replays, current(), state.time, stepColour(state.step), task.goal);
    } else {
      drawSolids(canvas, width, replays, current(), state.time, pacer());
    }
  }

  /** [label, value] of everything that the moment has to say. */
  function facts() {
    const task = replays.tasks[state.task];
    const episode = current();
    const unit = replays.signal.unit ? ` ${replays.signal.unit}` : "";
    const signal = state.time > 0 ? `${decimal(episode.signal[state.time - 1], 2)}${unit}` : "\u2013";
    return [
      ["Task", task.label],
      ["Adaptation", stepName(state.step)],
      ["Step", `${state.time} of ${length()}`],
      ["Return so far", decimal(episode.returnSoFar[state.time], 2)],
      [replays.signal.title, signal],
      ...(task.target === null ? [] : [["Target", task.aim === "sign"
        ? (task.target > 0 ? "forward" : "backward")
        : `${decimal(task.target, 2)}${unit}`]]),
    ];
  }

  function moveTo(time) {
    state.time = Math.max(0, Math.min(length(), Math.round(time)));
    scrub.value = state.time;
    scrub.setAttribute("aria-valuetext", `step ${state.time} of ${length()}`);
    clock.textContent = replays.seconds_per_step
      ? `${decimal(state.time * perStep, 2)} / ${decimal(length() * perStep, 2)} s`
      : `${state.time} / ${length()}`;
    readout.replaceChildren(...facts().map(([label, value]) =>
      element("div", {}, element("dt", {}, label), element("dd", {}, value))));
    if (playhead) playhead();
    draw();
  }

  /** Speaks when the picture has come to rest; while it plays, only its start and end are said. */
  function say() {
    spoken.textContent = `${facts().map(([label, value]) => `${label}: ${value}`).join(". ")}.`;
  }

  function saySoon() {
    clearTimeout(sayTimer);
    sayTimer = setTimeout(() => { if (!state.playing) say(); }, SAY_AFTER);
  }

  function setPlaying(playing) {
    state.playing = playing;
    lastFrame = null;
    play.textContent = playing ? "Pause" : "Play";
    if (playing) {
      spoken.textContent = "Playing.";
      requestAnimationFrame(advance);
    } else {
      say();
    }
  }

  function toggle() {
    if (!state.playing && state.time >= length()) {
      state.shown = 0;
      moveTo(0);
    }
    setPlaying(!state.playing);
  }

  function advance(now) {
    if (!state.playing) return;
    if (lastFrame !== null) {
      state.shown += (Math.min(now - lastFrame, 250) / 1000) * (state.speed / perStep);
      if (state.shown >= length()) {
        moveTo(length());
        setPlaying(false);
        return;
      }
      if (Math.floor(state.shown) !== state.time) moveTo(Math.floor(state.shown));
    }
    lastFrame = now;
    requestAnimationFrame(advance);
  }

  function showStrip() {
    const task = replays.tasks[state.task];
    const episode = current();
    const times = episode.signal.map((_, index) => (index + 1) * (replays.seconds_per_step ?? 1));
    const end = times.at(-1) ?? 1;
    const series = [{
      name: `${replays.signal.label}, ${stepName(state.step)}`, width: 2,
      colour: stepColour(state.step), x: times, y: episode.signal,
    }];
    strip.replaceChildren(chart({
      label: `${replays.signal.title} over time`,
      description: `${task.label}, ${stepName(state.step)}; the line moves with the replay.`,
      x: { label: replays.seconds_per_step ? "time, s" : "step", range: [0, end] },
      y: { label: replays.signal.axis_label, range: replays.signal.range },
      height: inPlane ? 300 : 210,
      series: [...series, ...targetSeries(task, end)],
      columns: [replays.seconds_per_step ? "time, s" : "step", replays.signal.label, "reward"],
      rows: () => times.map((time, index) => [decimal(time, replays.seconds_per_step ? 2 : 0),
        decimal(episode.signal[index], 3), decimal(episode.reward[index], 3)]),
      onDraw: (plot, scales, frame) => {
        const line = shape("path", { class: "playhead" });
        plot.append(line);
        playhead = () => line.setAttribute("d",
          `M${scales.x(state.time * (replays.seconds_per_step ?? 1)).toFixed(1)},${frame.top}V${frame.bottom}`);
        playhead();
      },
    }));
  }

  /** Another episode: from its start if it was at rest there, else at the same moment. */
  function begin() {
    const task = replays.tasks[state.task];
    playhead = null;
    scrub.max = length();
    state.shown = Math.min(state.time, length());
    canvas.setAttribute("aria-label", `Replay: ${task.label}, ${stepName(state.step)}, `
      + `return ${decimal(current().returnSoFar.at(-1), 1)}. `
      + (inPlane ? "A point walks through the plane towards the goal."
        : "The robot from the side, the camera following.")
      + " What it does is said below the picture.");
    showStrip();
    moveTo(state.shown);
    saySoon();
  }

  section.append(
    element("p", { class: "quiet" }, replays.text),
    element("div", { class: "choices" },
      element("label", { class: "field" }, element("span", {}, "Task"), taskChoice),
      segmented("Adaptation steps", replays.tasks[0].steps.map((_, step) => [step, String(step)]),
        numSteps, (step) => { state.step = step; begin(); })));
  const transport = element("div", { class: "transport" }, play,
    element("div", { class: "scrub" }, scrub, clock),
    element("label", { class: "field" }, element("span", {}, "Speed"), speedChoice));
  section.append(inPlane
    ? element("div", { class: "watch" },
      element("div", {}, stageBox, transport), element("div", {}, readout, strip))
    : element("div", {}, stageBox, transport, readout, strip), spoken);
  drawAtWidth(stageBox, draw);
  onColourScheme(draw);
  begin();
  spoken.textContent = "";
  clearTimeout(sayTimer);

  return (taskIndex) => {
    const found = replays.tasks.findIndex((task) => task.task_index === taskIndex);
    if (found < 0) return null;
    return () => {
      state.task = found;
      taskChoice.value = found;
      begin();
      section.scrollIntoView();
      play.focus({ preventScroll: true });
    };
  };
}
