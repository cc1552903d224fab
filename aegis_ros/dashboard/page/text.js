// Numbers as people read them, and elements whose text is never read as HTML.

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export function drawn(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function number(value, digits = 1) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0).replace("-", "−");
}

export function percent(share) {
  if (share === null || share === undefined) return "–";
  return `${(share * 100).toFixed(share < 0.0995 && share > 0 ? 1 : 0)} %`;
}

export function bytes(value) {
  const mib = value / 2 ** 20;
  return mib >= 1024 ? `${(mib / 1024).toFixed(1)} GiB` : `${mib.toFixed(mib < 10 ? 1 : 0)} MiB`;
}

export function count(value) {
  return value.toLocaleString("en");
}

export function ordinal(value) {
  const last = value % 100 > 10 && value % 100 < 14 ? 0 : value % 10;
  return `${value}${["th", "st", "nd", "rd"][last] ?? "th"}`;
}

export function clock(stampMs) {
  return new Date(stampMs).toLocaleTimeString("en-GB");
}

const RELATIONS = { "<=": "≤", ">=": "≥", "==": "=", "!=": "≠" };

export function inequality(decision) {
  if (!decision.relation) return "";
  const unit = decision.unit ? ` ${decision.unit}` : "";
  const sides = [decision.left, decision.right].map((side) =>
    side === null ? "∞" : Number.isInteger(side) ? count(side) : String(Number(side.toPrecision(5))));
  return `${sides[0]} ${RELATIONS[decision.relation] ?? decision.relation} ${sides[1]}${unit}`;
}

export function witness(found) {
  const who = found.blocking_task ? ` (${found.blocking_task})` : "";
  return `In any ${ms(found.t_ms)} ms on lane ${found.lane}: demand ${ms(found.demand_ms)} ms ` +
    `+ blocking ${ms(found.blocking_ms)} ms${who}, slack ${ms(found.slack_ms)} ms.`;
}

const LEVELS = {
  admitted: "good", restored: "good", enabled: "good", rejected: "bad", lost: "bad",
  shed: "warn", skipped: "warn", disabled: "warn",
};

export function level(decision) {
  return LEVELS[decision] ?? "none";
}

// One colour a task, the same everywhere on the page, whatever comes and goes.
const colours = new Map();

export function colour(task) {
  if (!colours.has(task)) colours.set(task, colours.size % 8);
  return `var(--task-${colours.get(task)})`;
}

let palette = new Map();

export function forgetPalette() {
  palette = new Map();
}

// A canvas knows no custom properties: look each up once a theme.
export function paint(name) {
  if (!palette.has(name)) {
    const key = name.startsWith("var(") ? name.slice(4, -1) : name;
    palette.set(name, getComputedStyle(document.documentElement).getPropertyValue(key).trim());
  }
  return palette.get(name);
}

// Make the canvas as sharp as the screen; return its context in CSS pixels.
export function sharpen(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
