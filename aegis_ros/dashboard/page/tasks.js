// One row a task: its latencies against its deadline, its budget, its losses.
import { colour, count, element, ms, number, ordinal, paint, setAttribute, setText, sharpen } from "./text.js";

const KEPT = 120;
const COLUMNS = ["p50", "p99", "worst", "deadline", "ran / budget", "Hz", "late", "skipped"];

// What a task does without: its deadline, some of its frames, the rest of its network.
function less(task) {
  const found = [];
  if (task.criticality === "best_effort") found.push("best effort: in the slack, no deadline promised");
  else if (task.criticality && task.criticality !== "high") found.push(task.criticality);
  if (task.decimation > 1) found.push(`every ${ordinal(task.decimation)} frame`);
  if (task.decimated) found.push(`${count(task.decimated)} left out`);
  if (task.truncated) found.push(`${count(task.truncated)} cut to max_results`);
  if (task.early_exits) found.push(`${count(task.early_exits)} early exit${task.early_exits === 1 ? "" : "s"}`);
  return found;
}

export class Tasks {
  constructor(table, ask) {
    this.table = table;
    this.body = table.tBodies[0];
    this.ask = ask; // stops or resumes a task; null where nothing may be changed
    this.rows = new Map();
    this.history = new Map(); // task -> [{ms, met}]
    this.counted = new Map();
  }

  clear() {
    this.history.clear();
  }

  add(jobs) {
    for (const job of jobs) this.remember(job.task, job.response_ms, job.met);
  }

  remember(task, responseMs, met) {
    if (!this.history.has(task)) this.history.set(task, []);
    const kept = this.history.get(task);
    kept.push({ ms: responseMs, met });
    if (kept.length > KEPT) kept.shift();
  }

  follow(status, mayChange, hasJobs) {
    const names = new Set(status.tasks.map((task) => task.name));
    for (const [name, row] of this.rows) {
      if (names.has(name)) continue;
      row.line.remove();
      this.rows.delete(name);
      this.history.delete(name);
    }
    for (const task of status.tasks) {
      if (!this.rows.has(task.name)) this.rows.set(task.name, this.make(task));
      this.fill(this.rows.get(task.name), task, mayChange);
      // without results (they may be switched off) the status still tells how it goes
      if (!hasJobs && task.completed) this.remember(task.name, task.response_p99_ms, task.response_p99_ms <= task.deadline_ms);
    }
    this.drawAll(status);
  }

  make(task) {
    const dot = element("span", { class: "dot", "aria-hidden": "true" });
    dot.style.background = colour(task.name);
    const row = {
      sub: element("span", { class: "sub" }),
      spark: element("canvas", { class: "spark", role: "img" }),
      cells: COLUMNS.map((name) => element("td", { role: "cell", class: "n", "data-label": name })),
      button: element("button", { type: "button", class: "small" }),
    };
    row.change = element("td", { role: "cell", class: "n", "data-label": "feed" }, row.button);
    row.button.addEventListener("click", () => this.ask(row.task));
    row.line = element("tr", { role: "row" },
      element("td", { role: "cell" }, dot, element("span", { class: "name" }, task.name), row.sub),
      element("td", { role: "cell" }, row.spark), ...row.cells, row.change);
    this.body.append(row.line);
    return row;
  }

  fill(row, task, mayChange) {
    row.task = task;
    const promised = task.criticality !== "best_effort";
    setText(row.sub, [`${task.state} · lane ${task.lane}`, ...less(task)].join(" · "));
    setAttribute(row.sub, "class", `sub ${{ running: "", waiting: "warn", shed: "warn" }[task.state] ?? "bad"}`);
    const done = task.completed > 0;
    const against = (value) => (!done || !promised ? "" : value > task.deadline_ms ? "bad" : value > 0.8 * task.deadline_ms ? "warn" : "good");
    const values = [
      [done ? ms(task.response_p50_ms) : "–", ""],
      [done ? ms(task.response_p99_ms) : "–", against(task.response_p99_ms)],
      [done ? ms(task.response_max_ms) : "–", against(task.response_max_ms)],
      [promised ? ms(task.deadline_ms) : "none", ""],
      [`${done ? ms(task.execution_max_ms) : "–"} / ${ms(task.wcet_ms)}`, done && task.execution_max_ms > task.wcet_ms ? "warn" : ""],
      [`${number(task.rate_hz)} of ${task.period_ms ? number(1000 / task.period_ms / task.decimation) : "–"}`, ""],
      [promised ? count(task.missed) : "–", promised && task.missed ? "bad" : ""],
      [count(task.skipped + task.lost), task.skipped + task.lost ? "warn" : ""],
    ];
    row.cells.forEach((cell, index) => {
      setText(cell, values[index][0]);
      setAttribute(cell, "class", `n ${values[index][1]}`);
    });
    row.change.hidden = !mayChange;
    const paused = task.state === "disabled";
    setText(row.button, paused ? "Resume" : "Stop");
    setAttribute(row.button, "aria-label", `${paused ? "Resume" : "Stop"} ${task.name}`);
  }

  drawAll(status) {
    for (const task of status.tasks) this.draw(this.rows.get(task.name).spark, task);
  }

  draw(canvas, task) {
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const points = this.history.get(task.name) ?? [];
    const context = sharpen(canvas, width, height);
    const promised = task.criticality !== "best_effort";
    const top = Math.max(promised ? task.deadline_ms * 1.18 : 0, ...points.map((point) => point.ms * (promised ? 1.05 : 1.5)), 1e-6);
    const y = (value) => height - 3 - (value / top) * (height - 6);
    const x = (index) => 3 + (index / (KEPT - 1)) * (width - 8) + (KEPT - points.length) / (KEPT - 1) * (width - 8);
    if (promised) {
      context.strokeStyle = paint("--muted");
      context.lineWidth = 1;
      context.setLineDash([4, 3]);
      context.beginPath();
      context.moveTo(0, Math.round(y(task.deadline_ms)) + 0.5);
      context.lineTo(width, Math.round(y(task.deadline_ms)) + 0.5);
      context.stroke();
      context.setLineDash([]);
    }
    context.strokeStyle = paint(colour(task.name));
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.beginPath();
    points.forEach((point, index) => context[index ? "lineTo" : "moveTo"](x(index), y(point.ms)));
    context.stroke();
    points.forEach((point, index) => {
      const fine = point.met || !promised;
      if (fine && index < points.length - 1) return;
      context.fillStyle = paint(fine ? colour(task.name) : "--bad");
      context.beginPath();
      context.arc(x(index), y(point.ms), fine ? 2.6 : 2.4, 0, 7);
      context.fill();
    });
    const latest = points.length ? `latest ${ms(points[points.length - 1].ms)} ms` : "no result yet";
    setAttribute(canvas, "aria-label", `Latency of ${task.name}: ${latest}, ${promised ? `deadline ${ms(task.deadline_ms)} ms` : "no deadline promised"}`);
  }
}
