"use strict";

const MINUS = "\u2212";

/** A number with a true minus sign; "not known" is an en dash. */
function decimal(value, digits) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "\u2013";
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? MINUS : "") + text;
}

/** With its sign, for differences. */
function signed(value, digits) {
  const text = decimal(value, digits);
  return value > 0 && Number(text) !== 0 ? `+${text}` : text;
}

/** 76800000 as 76.8 M. */
function compact(value) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size) {
      return `${decimal(value / size, 2).replace(/\.?0+$/, "")}\u00a0${unit}`;
    }
  }
  return decimal(value, 2).replace(/\.?0+$/, "") || "0";
}

function compactOrNone(value) {
  return value === null ? "\u2013" : compact(value);
}

/** "return" as "Return". */
function capital(word) {
  return word[0].toUpperCase() + word.slice(1);
}

/** How many digits after the point show about four figures of the largest number. */
function digitsFor(values) {
  const finite = values.filter((value) => value !== null && Number.isFinite(value));
  const largest = Math.max(1e-9, ...finite.map(Math.abs));
  return Math.max(0, Math.min(5, 3 - Math.floor(Math.log10(largest) + 1e-9)));
}

/** "1 task", "2 tasks". */
function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** "before adapting", "after 1 step", "after 2 steps". */
function stepName(step) {
  return step === 0 ? "before adapting" : `after ${plural(step, "step")}`;
}
