// Who holds what of the arena, over the last statuses: a part a holder, one upon the other.
import { bytes, colour, paint, setAttribute, sharpen } from "./text.js";

const KEPT = 240; // statuses
const REST = "\0"; // the name of no holder

// What is held by nobody alone, in bytes and as people read it.
export function rest(status) {
  const held = [...status.tasks.map((task) => task.arena_bytes), ...status.generators.map((each) => each.cache_bytes)];
  const size = status.arena_used_bytes - held.reduce((sum, each) => sum + each, 0);
  const text = status.generators.length ? "shared, and weights of language models" : "shared by tasks";
  return { text, size: Math.max(0, size) };
}

export class Memory {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
  }

  clear() {
    this.history = []; // [{name: bytes}], oldest first
    this.names = []; // from the bottom upwards; those that are gone as long as they are to be seen
  }

  follow(status) {
    const held = {};
    for (const task of status.tasks) held[task.name] = task.arena_bytes;
    for (const each of status.generators) if (each.cache_bytes) held[each.name] = each.cache_bytes;
    const shared = rest(status);
    held[REST] = shared.size;
    this.history.push(held);
    if (this.history.length > KEPT) this.history.shift();
    const seen = new Set(this.history.flatMap((moment) => Object.keys(moment)));
    seen.delete(REST);
    this.names = [...this.names.filter((name) => seen.has(name)), ...[...seen].filter((name) => !this.names.includes(name))];
    this.draw(status.arena_bytes);
    const parts = [...this.names, REST].filter((name) => held[name]).map((name) => `${name === REST ? shared.text : name} ${bytes(held[name])}`);
    setAttribute(this.canvas, "aria-label",
      `Arena over the last ${this.history.length} statuses; now ${parts.join(", ") || "empty"}, of ${bytes(status.arena_bytes)}`);
  }

  draw(most) {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width) return;
    const context = sharpen(this.canvas, width, height);
    const sums = this.history.map((moment) => Object.values(moment).reduce((sum, size) => sum + size, 0));
    const top = Math.max(most, ...sums, 1);
    const across = (index) => ((KEPT - this.history.length + index) / (KEPT - 1)) * width;
    const up = (size) => height - (size / top) * (height - 2);
    const below = this.history.map(() => 0);
    for (const name of [...this.names, REST]) {
      context.beginPath();
      this.history.forEach((moment, index) => context.lineTo(across(index), up(below[index] + (moment[name] ?? 0))));
      for (let index = below.length - 1; index >= 0; index -= 1) context.lineTo(across(index), up(below[index]));
      context.fillStyle = paint(name === REST ? "--muted" : colour(name));
      context.globalAlpha = name === REST ? 0.35 : 0.85;
      context.fill();
      this.history.forEach((moment, index) => { below[index] += moment[name] ?? 0; });
    }
    context.globalAlpha = 1;
    context.strokeStyle = paint("--muted"); // what may be held
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(0, up(most) + 0.5);
    context.lineTo(width, up(most) + 0.5);
    context.stroke();
  }
}
