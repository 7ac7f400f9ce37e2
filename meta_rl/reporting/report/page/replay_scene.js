"use strict";

// Draws one moment of a replay into a canvas. Lengths are metres until the very end.

/** Numbers packed by the report: little-endian integers of a unit, in base64. */
function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const width = packed.bits / 8;
  const read = packed.bits === 16 ? "getInt16" : "getInt32";
  return Float64Array.from({ length: bytes.length / width },
    (_, index) => view[read](index * width, true) * packed.unit);
}

function canvasFor(canvas, width, height) {
  const density = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return pen;
}

function sceneColours() {
  const names = ["sky", "floor", "muted", "ink", "accent", "line"];
  return Object.fromEntries(names.map((name) => [name, resolved(`var(--${name})`)]));
}

/** How many numbers per moment say where a solid of this kind is: its centre and own axes. */
const NUMBERS_PER_SOLID = { sphere: 2, capsule: 4, cylinder: 4, box: 8, ellipsoid: 8 };

/** The outline of a solid seen from the side, in metres, as a path. */
function tracePath(pen, solid, at) {
  const [x, z, ax, az] = at;
  const radius = solid.size[0];
  pen.beginPath();
  if (solid.kind === "sphere") {
    pen.arc(x, z, radius, 0, 2 * Math.PI);
  } else if (solid.kind === "capsule" || solid.kind === "cylinder") {
    // An end is a half circle, or the half ellipse that a disc casts.
    const angle = Math.atan2(az, ax);
    const tilt = Math.sqrt(Math.max(0, 1 - (ax * ax + az * az) / solid.size[1] ** 2));
    const bulge = solid.kind === "capsule" ? radius : radius * tilt;
    pen.ellipse(x + ax, z + az, bulge, radius, angle, -Math.PI / 2, Math.PI / 2);
    pen.ellipse(x - ax, z - az, bulge, radius, angle, Math.PI / 2, 1.5 * Math.PI);
  } else if (solid.kind === "box") {
    traceBox(pen, at);
  } else {
    traceEllipsoid(pen, at);
  }
  pen.closePath();
}

/** A box casts a hexagon: its half-axes, turned to one side and put in order of angle. */
function traceBox(pen, at) {
  const half = [0, 1, 2].map((axis) => [at[2 + 2 * axis], at[3 + 2 * axis]])
    .map(([ax, az]) => (az < 0 || (az === 0 && ax < 0) ? [-ax, -az] : [ax, az]))
    .sort((a, b) => Math.atan2(a[1], a[0]) - Math.atan2(b[1], b[0]));
  let [x, z] = half.reduce(([sx, sz], [ax, az]) => [sx - ax, sz - az], [at[0], at[1]]);
  pen.moveTo(x, z);
  for (const sign of [2, -2]) {
    for (const [ax, az] of half) {
      x += sign * ax;
      z += sign * az;
      pen.lineTo(x, z);
    }
  }
}

/** An ellipsoid casts the ellipse whose matrix is the sum of its half-axes' outer products. */
function traceEllipsoid(pen, at) {
  let [xx, xz, zz] = [0, 0, 0];
  for (const axis of [0, 1, 2]) {
    const [ax, az] = [at[2 + 2 * axis], at[3 + 2 * axis]];
    xx += ax * ax;
    xz += ax * az;
    zz += az * az;
  }
  const middle = (xx + zz) / 2;
  const spread = Math.hypot((xx - zz) / 2, xz);
  const angle = 0.5 * Math.atan2(2 * xz, xx - zz);
  pen.ellipse(at[0], at[1], Math.sqrt(middle + spread), Math.sqrt(Math.max(0, middle - spread)),
    angle, 0, 2 * Math.PI);
}

function drawGround(pen, colours, view) {
  const { width, height, scale, groundY, camera } = view;
  pen.fillStyle = colours.floor;
  pen.fillRect(0, groundY, width, height - groundY);
  pen.strokeStyle = colours.muted;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(0, groundY);
  pen.lineTo(width, groundY);
  const every = width / scale > 6 ? 1 : 0.5;
  const reach = width / (2 * scale);
  pen.fillStyle = colours.muted;
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (let tick = Math.ceil((camera - reach) / every - 1); tick * every <= camera + reach + every; tick += 1) {
    const x = width / 2 + (tick * every - camera) * scale;
    pen.moveTo(x, groundY);
    pen.lineTo(x, groundY + 7);
    if (x < 24 || x > width - 24) continue;
    pen.fillText(`${decimal(tick * every, every < 1 ? 1 : 0)} m`, x, groundY + 11);
  }
  pen.stroke();
}

/** A flag that runs at the target velocity from where the robot began. */
function drawPacer(pen, colours, view, pacer) {
  const x = view.width / 2 + (pacer - view.camera) * view.scale;
  const inside = Math.min(view.width - 8, Math.max(8, x));
  pen.strokeStyle = pen.fillStyle = colours.accent;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.moveTo(inside, view.groundY);
  pen.lineTo(inside, 24);
  pen.stroke();
  const side = inside > view.width / 2 ? -1 : 1;
  pen.beginPath();
  pen.moveTo(inside, 24);
  pen.lineTo(inside + side * 16, 30);
  pen.lineTo(inside, 36);
  pen.fill();
  const away = x === inside ? "" : `, ${decimal(Math.abs(pacer - view.camera), 1)} m ${x > inside ? "ahead" : "behind"}`;
  pen.textAlign = side < 0 ? "right" : "left";
  pen.textBaseline = "alphabetic";
  pen.fillText(`target pace${away}`, inside + side * 4, 17);
}

/** A simulation from the side, with a camera that follows. */
function drawSolids(canvas, width, replays, episode, time, pacer) {
  const metres = Math.min(5, Math.max(2.8, width / 170));
  const scale = width / metres;
  const height = Math.round(Math.min(width * 0.5, Math.max(200, (replays.top + 0.45) * scale)));
  const pen = canvasFor(canvas, width, height);
  const colours = sceneColours();
  const view = { width, height, scale, groundY: height - 34, camera: episode.camera[time] };
  drawGround(pen, colours, view);
  if (pacer !== null) drawPacer(pen, colours, view, pacer);
  pen.save();
  pen.translate(width / 2, view.groundY);
  pen.scale(scale, -scale);
  pen.lineWidth = 1.5 / scale;
  let offset = time * replays.numbers_per_moment;
  for (const solid of replays.solids) {
    const count = NUMBERS_PER_SOLID[solid.kind];
    tracePath(pen, solid, episode.poses.subarray(offset, offset + count));
    offset += count;
    const [red, green, blue, opacity] = solid.colour;
    pen.fillStyle = `rgb(${red * 255} ${green * 255} ${blue * 255} / ${opacity})`;
    pen.strokeStyle = `rgb(${red * 120} ${green * 120} ${blue * 120} / ${opacity})`;
    pen.fill();
    pen.stroke();
  }
  pen.restore();
}

/** A point in the plane, the way it has come, and its goal. */
function drawPlane(canvas, width, replays, episode, time, colour, goal) {
  const height = width;
  const pen = canvasFor(canvas, width, height);
  const colours = sceneColours();
  const [left, bottom] = [38, height - 28];
  const x = linear(replays.range.x, [left, width - 10]);
  const y = linear(replays.range.y, [bottom, 10]);
  pen.strokeStyle = colours.line;
  pen.fillStyle = colours.muted;
  pen.lineWidth = 1;
  pen.beginPath();
  const xTicks = ticks(...replays.range.x, width / 80);
  const yTicks = ticks(...replays.range.y, width / 80);
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const value of xTicks.values) {
    pen.moveTo(x(value), 10);
    pen.lineTo(x(value), bottom);
    pen.fillText(tickText(value, xTicks.size), x(value), bottom + 7);
  }
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const value of yTicks.values) {
    pen.moveTo(left, y(value));
    pen.lineTo(width - 10, y(value));
    pen.fillText(tickText(value, yTicks.size), left - 6, y(value));
  }
  pen.stroke();
  pen.strokeStyle = pen.fillStyle = resolved(colour);
  pen.lineJoin = "round";
  const path = episode.path;
  pen.globalAlpha = 0.3;
  pen.lineWidth = 1.5;
  strokePath(pen, path, path.length / 2 - 1, x, y);
  pen.globalAlpha = 1;
  pen.lineWidth = 2.5;
  strokePath(pen, path, time, x, y);
  if (goal) drawGoal(pen, colours, x, y, goal);
  pen.fillStyle = resolved(colour);
  pen.beginPath();
  pen.arc(x(path[2 * time]), y(path[2 * time + 1]), 6.5, 0, 2 * Math.PI);
  pen.fill();
  pen.strokeStyle = colours.sky;
  pen.lineWidth = 2;
  pen.stroke();
}

function strokePath(pen, path, last, x, y) {
  pen.beginPath();
  for (let index = 0; index <= last; index += 1) pen.lineTo(x(path[2 * index]), y(path[2 * index + 1]));
  pen.stroke();
}

function drawGoal(pen, colours, x, y, { position: [gx, gy], half_width: half }) {
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  pen.strokeRect(x(gx - half), y(gy + half), x(gx + half) - x(gx - half), y(gy - half) - y(gy + half));
  pen.beginPath();
  pen.arc(x(gx), y(gy), 12, 0, 2 * Math.PI);
  pen.stroke();
  pen.fillStyle = colours.ink;
  pen.textAlign = "center";
  pen.textBaseline = "bottom";
  pen.fillText("goal", x(gx), y(gy) - 15);
}
