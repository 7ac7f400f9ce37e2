"use strict";

// Colours live in the style sheet, light and dark; an adaptation step takes its own from a ramp.

const RAMP_LENGTH = 4;

/** The CSS colour of adaptation step k of K. */
function stepColour(step, numSteps) {
  const position = numSteps === 0 ? 0 : (step / numSteps) * (RAMP_LENGTH - 1);
  const below = Math.floor(position);
  const share = Math.round((position - below) * 100);
  if (share === 0) return `var(--ramp-${below})`;
  return `color-mix(in oklab, var(--ramp-${below + 1}) ${share}%, var(--ramp-${below}))`;
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
