"use strict";

// Colours live in the style sheet, light and dark. Marks and dashes say the same once more.

const NUM_COLOURS = 8;
const STEP_MARKS = ["circle", "square", "triangle", "diamond"];
const REFERENCE_MARKS = ["square", "triangle", "diamond", "cross"];

/** The CSS colour of an adaptation step, the same in every picture. */
function stepColour(step) {
  return `var(--step-${step % NUM_COLOURS})`;
}

function stepMark(step) {
  return STEP_MARKS[step % STEP_MARKS.length];
}

function referenceColour(index) {
  return `var(--reference-${index % REFERENCE_MARKS.length})`;
}

/** A CSS colour as one that a canvas takes, in today's colour scheme. */
function resolved(colour) {
  const probe = element("span");
  probe.style.color = colour;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** Calls back when the reader's system changes between light and dark. */
function onColourScheme(callback) {
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", callback);
}
