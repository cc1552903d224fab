// Lanes and tasks over time: who waited, who ran, when it was due.
import { colour, ms, paint, setAttribute, sharpen } from "./text.js";

const LANE = 34, TASK = 25, AXIS = 24, KEPT_MS = 65_000;
const STEPS = [100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000];

export class Timeline {
  constructor(canvas, tell) {
    this.canvas = canvas;
    this.tell = tell; // takes the sentence about the selected job
    this.windowMs = 5000;
    this.jobs = new Map(); // task -> its jobs, oldest first
    this.marks = new Map(); // task -> moments of skipped frames
    this.slack = new Set(); // tasks of best effort
    this.rows = [];
    this.selected = null;
    this.hovered = null;
    this.shownMs = 0;
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", () => { this.hovered = null; });
    canvas.addEventListener("click", (event) => this.select(this.at(event)));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  clear() {
    this.jobs.clear();
    this.marks.clear();
    this.selected = null;
  }

  follow(status) {
    this.slack = new Set(status.tasks.filter((task) => task.criticality === "best_effort").map((task) => task.name));
    const rows = [];
    let y = 4;
    const add = (row) => { rows.push({ ...row, y }); y += row.height; };
    const lanes = status.lanes.map((lane) => lane.name);
    for (const lane of lanes) {
      const tasks = status.tasks.filter((task) => task.lane === lane);
      add({ kind: "lane", name: lane, height: LANE, tasks: tasks.map((task) => task.name) });
      for (const task of tasks) add({ kind: "task", name: task.name, height: TASK, tasks: [task.name] });
      y += 5;
    }
    for (const task of status.tasks.filter((each) => !lanes.includes(each.lane)))
      add({ kind: "task", name: task.name, height: TASK, tasks: [task.name] });
    this.rows = rows;
    const height = `${Math.max(y, 60) + AXIS}px`;
    if (this.canvas.style.height !== height) this.canvas.style.height = height;
  }

  add(jobs, nowMs) {
    for (const job of jobs) {
      if (!this.jobs.has(job.task)) this.jobs.set(job.task, []);
      this.jobs.get(job.task).push(job);
    }
    for (const kept of this.jobs.values()) {
      const first = kept.findIndex((job) => job.published_ms > nowMs - KEPT_MS);
      if (first > 0) kept.splice(0, first);
      else if (first < 0) kept.length = 0;
    }
  }

  mark(decision) {
    if (!this.marks.has(decision.task)) this.marks.set(decision.task, []);
    const kept = this.marks.get(decision.task);
    kept.push(decision.stamp_ms);
    if (kept.length > 300) kept.shift();
  }

  // What runs in the slack is promised no deadline, and is as old as it is.
  late(job) {
    return !job.met && !this.slack.has(job.task);
  }

  summary(nowMs) {
    let done = 0, late = 0;
    for (const jobs of this.jobs.values())
      for (const job of jobs)
        if (job.published_ms > nowMs - this.windowMs) {
          done += 1;
          late += this.late(job) ? 1 : 0;
        }
    return `Timeline of the last ${this.windowMs / 1000} seconds: ${done} jobs done, ${late} late.`;
  }

  draw(nowMs) {
    this.shownMs = nowMs;
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!width) return;
    const context = sharpen(this.canvas, width, height);
    const gutter = this.gutter = width < 560 ? 112 : 158;
    this.begin = nowMs - this.windowMs;
    this.end = nowMs + this.windowMs * 0.08;
    const x = this.x = (t) => gutter + ((t - this.begin) / (this.end - this.begin)) * (width - gutter);
    const bottom = height - AXIS;
    this.drawAxis(context, nowMs, width, bottom, x);
    for (const row of this.rows) this.drawLabel(context, row, gutter, width);
    context.save();
    context.beginPath();
    context.rect(gutter, 0, width - gutter, bottom);
    context.clip();
    for (const row of this.rows) {
      if (row.kind === "lane") this.drawLane(context, row, x);
      else this.drawTask(context, row, x);
    }
    context.restore();
    context.strokeStyle = paint("--accent");
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x(nowMs), 0);
    context.lineTo(x(nowMs), bottom + 4);
    context.stroke();
  }

  drawAxis(context, nowMs, width, bottom, x) {
    const room = width < 560 ? 64 : 90;
    const step = STEPS.find((each) => x(this.begin + each) - x(this.begin) >= room) ?? 60_000;
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    context.lineWidth = 1;
    for (let t = 0; t <= this.windowMs; t += step) {
      const at = Math.round(x(nowMs - t)) + 0.5;
      if (at < this.gutter) break;
      context.strokeStyle = paint("--grid");
      context.beginPath();
      context.moveTo(at, 0);
      context.lineTo(at, bottom);
      context.stroke();
      context.fillStyle = paint(t ? "--muted" : "--accent");
      const label = t ? `−${t < 1000 ? `${t} ms` : `${t / 1000} s`}` : "now";
      if (at > this.gutter + 14) context.fillText(label, Math.min(at, width - 14), bottom + 17);
    }
  }

  drawLabel(context, row, gutter, width) {
    const middle = row.y + row.height / 2;
    if (row.kind === "lane") {
      context.fillStyle = paint("--sunken");
      context.fillRect(0, row.y, width, row.height);
    }
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.font = row.kind === "lane" ? "650 12.5px system-ui, sans-serif" : "12.5px system-ui, sans-serif";
    context.fillStyle = paint("--text");
    let left = 8;
    if (row.kind === "task") {
      context.fillStyle = paint(colour(row.name));
      context.fillRect(8, middle - 4, 8, 8);
      context.fillStyle = paint("--text");
      left = 22;
    }
    context.fillText(fitted(context, row.kind === "lane" ? `lane ${row.name}` : row.name, gutter - left - 8), left, middle);
  }

  drawLane(context, row, x) {
    // the longest first: a bar may hold pauses in which a more urgent job ran
    const shown = row.tasks.flatMap((task) => this.visible(task));
    shown.sort((a, b) => (b.finished_ms - b.started_ms) - (a.finished_ms - a.started_ms));
    for (const job of shown) {
      const left = x(job.started_ms), right = Math.min(x(job.finished_ms), x(this.shownMs));
      if (left > right) continue;
      context.fillStyle = paint(colour(job.task));
      context.fillRect(left, row.y + 6, Math.max(1.5, right - left), row.height - 12);
    }
  }

  drawTask(context, row, x) {
    const middle = Math.round(row.y + row.height / 2), tone = paint(colour(row.name));
    const edge = x(this.shownMs); // nothing has happened yet to the right of now
    const [text, wait, bad] = [paint("--text"), paint("--wait"), paint("--bad")];
    const line = (from, to, style, thickness) => {
      context.fillStyle = style;
      const length = Math.min(x(to), edge) - x(from);
      if (length > 0) context.fillRect(x(from), middle - thickness / 2, length, thickness);
    };
    const jobs = this.visible(row.name);
    // flags that would touch each other become small ticks; a late job always has its flag
    const crowded = jobs.length * 13 > x(this.end) - this.gutter;
    for (const job of jobs) {
      const [left, right] = [x(job.started_ms), Math.min(x(job.finished_ms), edge)];
      line(job.stamped_ms, job.started_ms, wait, 1.5);
      line(job.finished_ms, job.published_ms, tone, 2);
      context.fillStyle = tone;
      if (left <= edge) context.fillRect(left, middle - 6, Math.max(1.5, right - left), 12);
      const late = this.late(job), promised = !this.slack.has(job.task);
      if (late) line(job.deadline_ms, job.published_ms, bad, 5);
      const due = x(job.deadline_ms);
      const small = crowded && !late;
      context.fillStyle = small ? paint("--muted") : late ? bad : text;
      if (promised) context.fillRect(due - 0.6, row.y + 2, 1.2, small ? 4 : row.height - 4);
      if (promised && !small) {
        context.beginPath();
        context.moveTo(due, row.y + 2);
        context.lineTo(due + 5, row.y + 4.7);
        context.lineTo(due, row.y + 7.4);
        context.fill();
      }
      if (job === this.selected || job === this.hovered) {
        context.strokeStyle = text;
        context.lineWidth = 1.5;
        context.strokeRect(left - 2.5, middle - 8.5, Math.max(1.5, right - left) + 5, 17);
      }
    }
    context.strokeStyle = paint("--warn");
    context.lineWidth = 1.8;
    for (const moment of this.marks.get(row.name) ?? []) {
      if (moment < this.begin || moment > this.shownMs) continue;
      const at = x(moment);
      context.beginPath();
      context.moveTo(at - 3.5, middle - 3.5);
      context.lineTo(at + 3.5, middle + 3.5);
      context.moveTo(at + 3.5, middle - 3.5);
      context.lineTo(at - 3.5, middle + 3.5);
      context.stroke();
    }
  }

  visible(task) {
    const jobs = this.jobs.get(task) ?? [];
    const seen = [];
    for (let index = jobs.length - 1; index >= 0; index -= 1) {
      const job = jobs[index];
      if (Math.max(job.published_ms, job.deadline_ms) < this.begin) break;
      if (job.stamped_ms <= this.shownMs) seen.push(job);
    }
    return seen.reverse();
  }

  at(event) {
    if (!this.x) return null;
    const box = this.canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const row = this.rows.find((each) => py >= each.y && py < each.y + each.height);
    if (!row || px < this.gutter) return null;
    let best = null, nearest = 12;
    for (const job of row.tasks.flatMap((task) => this.visible(task))) {
      const from = this.x(row.kind === "lane" ? job.started_ms : job.stamped_ms);
      const to = this.x(row.kind === "lane" ? job.finished_ms : job.published_ms);
      const distance = px < from ? from - px : px > to ? px - to : 0;
      if (distance < nearest) [best, nearest] = [job, distance];
    }
    return best;
  }

  hover(event) {
    this.hovered = this.at(event);
    this.canvas.style.cursor = this.hovered ? "pointer" : "";
    if (this.onchange) this.onchange();
  }

  select(job) {
    if (!job) return;
    this.selected = job;
    this.tell(sentence(job, !this.slack.has(job.task)));
    if (this.onchange) this.onchange();
  }

  key(event) {
    const tasks = this.rows.filter((row) => row.kind === "task").map((row) => row.name)
      .filter((name) => this.visible(name).length);
    if (!tasks.length || !this.x) return;
    const row = this.selected ? Math.max(0, tasks.indexOf(this.selected.task)) : 0;
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key in moves) {
      const jobs = this.visible(tasks[row]).filter((job) => job.finished_ms <= this.shownMs);
      const place = jobs.indexOf(this.selected);
      const next = place < 0 ? jobs.length - 1 : place + moves[event.key];
      this.select(jobs[Math.min(Math.max(next, 0), jobs.length - 1)]);
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const step = event.key === "ArrowUp" ? -1 : 1;
      const task = tasks[(row + step + tasks.length) % tasks.length];
      const then = this.selected?.started_ms ?? this.shownMs;
      const jobs = [...this.visible(task)];
      jobs.sort((a, b) => Math.abs(a.started_ms - then) - Math.abs(b.started_ms - then));
      this.select(jobs[0]);
    } else {
      return;
    }
    event.preventDefault();
  }

  announce(nowMs) {
    setAttribute(this.canvas, "aria-label", this.summary(nowMs));
  }
}

function fitted(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let short = text;
  while (short.length > 2 && context.measureText(`${short}…`).width > room) short = short.slice(0, -1);
  return `${short}…`;
}

function sentence(job, promised) {
  const left = job.deadline_ms - job.published_ms;
  const due = !promised ? "with no deadline promised" : left >= 0 ? `${ms(left)} ms before its deadline` : `${ms(-left)} ms after its deadline`;
  return `${job.task} job ${job.job}: reached the engine ${ms(job.released_ms - job.stamped_ms)} ms after its stamp, ` +
    `waited ${ms(job.started_ms - job.released_ms)} ms, held its lane for ${ms(job.execution_ms)} ms, ` +
    `published ${ms(job.published_ms - job.finished_ms)} ms later: ${ms(job.response_ms)} ms in all, ${due}.`;
}
