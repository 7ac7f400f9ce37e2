"use strict";

// Elements are made from text nodes and attributes only, never from markup, so that no name in the
// data can become part of the page's code.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element; an attribute that is a function listens to the event of that name. */
function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG_NAMESPACE, name), attributes, children);
}

let numIds = 0;

/** An id that nothing else on the page has. */
function freshId(stem) {
  numIds += 1;
  return `${stem}-${numIds}`;
}

/** A box that scrolls sideways, by keyboard too, so that the page never has to. */
function scrollBox(label, ...children) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    ...children);
}

/** A plain table; the cells of the first column head their rows. */
function plainTable(caption, columns, rows) {
  const cell = (value, index) => index === 0
    ? element("th", { scope: "row" }, value)
    : element("td", {}, value);
  return element("table", {},
    element("caption", { class: "hidden" }, caption),
    element("thead", {}, element("tr", {},
      columns.map((column) => element("th", { scope: "col" }, column)))),
    element("tbody", {}, rows.map((row) => element("tr", {}, row.map(cell)))));
}

/** The numbers behind a picture, made when they are asked for: long tables are slow to lay out. */
function valuesTable(label, columns, rows) {
  const details = element("details", { class: "values" },
    element("summary", {}, `Values: ${label}`));
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(scrollBox(label, plainTable(label, columns, rows())));
  });
  return details;
}

/** Takes a section out of the page, and the link to it. */
function removeSection(id) {
  document.getElementById(id).remove();
  document.querySelector(`nav a[href="#${id}"]`).remove();
}

/** Radio buttons that look like one divided button. */
function segmented(legend, options, chosen, onChange) {
  const name = freshId("segmented");
  const choices = options.map(([value, text]) => element("label", {},
    element("input", {
      type: "radio", name, value, checked: value === chosen,
      change: () => onChange(value),
    }),
    element("span", {}, text)));
  return element("fieldset", { class: "segmented" },
    element("legend", {}, legend), element("div", {}, choices));
}

/** Calls draw(width) now and whenever the width of a node has changed. */
function drawAtWidth(node, draw) {
  let width = 0;
  new ResizeObserver(() => {
    const now = Math.floor(node.clientWidth);
    if (now > 0 && now !== width) {
      width = now;
      draw(width);
    }
  }).observe(node);
}
