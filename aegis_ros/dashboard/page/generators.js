// Language models: throughput, arena, and what they chose of what was admitted.
import { bytes, colour, count, element, ms, number, paint, percent, setAttribute, setText, sharpen } from "./text.js";

const KEPT = 120; // statuses
const STALLED_S = 5;
const rate = (value) => number(value, value < 99.95 ? 1 : 0);

export class Generators {
  constructor(panel, list) {
    this.panel = panel;
    this.list = list;
    this.boxes = new Map();
  }

  follow(status) {
    const names = new Set(status.generators.map((each) => each.name));
    this.panel.hidden = names.size === 0;
    for (const [name, box] of this.boxes)
      if (!names.has(name)) {
        box.box.remove();
        this.boxes.delete(name);
      }
    for (const each of status.generators) {
      if (!this.boxes.has(each.name)) this.boxes.set(each.name, this.make(each));
      const box = this.boxes.get(each.name);
      box.history.push([each.tokens_per_s ?? 0, each.arena_used_bytes]);
      if (box.history.length > KEPT) box.history.shift();
      this.fill(box, each, status.arena_bytes);
    }
  }

  make(each) {
    const dot = element("span", { class: "dot", "aria-hidden": "true" });
    dot.style.background = colour(each.name);
    const box = {
      history: [], colour: colour(each.name),
      lane: element("span", { class: "muted" }),
      speed: element("span", { class: "muted" }),
      spark: element("canvas", { class: "spark", role: "img" }),
      memory: element("canvas", { class: "spark", role: "img" }),
      charts: element("dl", { class: "charts" }),
      problem: element("p", { class: "problem" }),
      limits: element("p", { class: "mono" }),
      note: element("p", { class: "muted mono" }),
      decision: element("p", { class: "muted" }),
    };
    box.charts.append(element("dt", {}, "tokens/s"), element("dd", {}, box.spark), element("dt", {}, "arena"), element("dd", {}, box.memory));
    box.box = element("div", { class: "lane" },
      element("header", {}, element("span", {}, dot, element("strong", {}, each.name), box.lane), box.speed),
      box.problem, box.charts, box.limits, box.note, box.decision);
    this.list.append(box.box);
    return box;
  }

  fill(box, each, arena) {
    const admitted = each.state !== "refused";
    for (const part of [box.charts, box.limits, box.note, box.decision]) part.hidden = !admitted;
    const given = each.given_up.length ? `Gave up for the tasks beside it: ${each.given_up.join(", ")}.` : "";
    setText(box.problem, each.problem ? `${each.state}: ${each.problem}` : given);
    box.problem.hidden = !each.problem && !given;
    setText(box.lane, each.lane ? ` · lane ${each.lane}` : "");
    if (!admitted) {
      setText(box.speed, each.model);
      return;
    }
    const speed = `${rate(each.tokens_per_s)} tokens/s`;
    const expected = each.expected_tokens_per_s ? ` of about ${rate(each.expected_tokens_per_s)}` : "";
    setText(box.speed, `${speed}${expected} · ${count(each.tokens)} in all`);
    const precision = each.precision ? ` · ${each.precision}` : "";
    setText(box.limits, `up to ${each.batch_limit} at once · ${count(each.length_limit)} tokens each · chunks of ${each.chunk_limit}${precision}`);
    const use = each.device_use >= 0 ? ` · lane busy ${percent(each.device_use)}` : "";
    const failed = each.out_of_memory ? ` · out of memory: ${count(each.out_of_memory)}` : "";
    const stalled = each.stalled_s > STALLED_S ? ` · no step for ${number(each.stalled_s)} s` : "";
    const step = each.step_ms ? `step ${ms(each.step_ms)} ms at ${count(each.context)} tokens` : "no step yet";
    const memory = each.step_ms ? ` · arena ${bytes(each.arena_used_bytes)}, at most ${bytes(each.arena_peak_bytes)}` : "";
    setText(box.note, `${each.running} running, ${each.waiting} waiting · ${step}` +
      ` · cache ${bytes(each.cache_used_bytes)} of ${bytes(each.cache_bytes)}${memory}${use}${failed}${stalled}`);
    const changes = each.limit_changes === 1 ? "1 change" : `${count(each.limit_changes)} changes`;
    setText(box.decision, each.decision ? `${changes}, the last one: ${each.decision}` : "No limit has changed.");
    this.draw(box.spark, box.history.map((point) => point[0]), box.colour, 0);
    setAttribute(box.spark, "aria-label", `Throughput of ${each.name}: ${speed}`);
    this.draw(box.memory, box.history.map((point) => point[1]), "--muted", arena, true);
    setAttribute(box.memory, "aria-label", `Arena: ${bytes(each.arena_used_bytes)} of ${bytes(arena)}`);
  }

  draw(canvas, values, color, most, limited = false) {
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const context = sharpen(canvas, width, height);
    const top = Math.max(most, ...values, 1e-6) * 1.05;
    const up = (value) => height - 3 - (value / top) * (height - 6);
    const line = (points) => {
      context.beginPath();
      points.forEach(([x, y]) => context.lineTo(x, y));
      context.stroke();
    };
    context.strokeStyle = paint("--grid"); // from where it is measured
    line([[0, height - 2.5], [width, height - 2.5]]);
    if (limited) {
      context.strokeStyle = paint("--muted");
      context.setLineDash([4, 3]);
      line([[0, up(most)], [width, up(most)]]);
      context.setLineDash([]);
    }
    context.strokeStyle = paint(color);
    context.lineWidth = 1.6;
    line(values.map((value, index) => [3 + ((KEPT - values.length + index) / (KEPT - 1)) * (width - 8), up(value)]));
  }
}
