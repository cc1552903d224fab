// Lanes, arena and engine: what the device has, and what of it is taken.
import { bytes, colour, element, ms, percent, setAttribute, setText } from "./text.js";

export class Device {
  constructor(page) {
    this.page = page; // element by id
    this.lanes = new Map();
    this.arena = "";
  }

  follow(status) {
    this.showLanes(status.lanes);
    this.showArena(status);
    const restarts = status.engine_restarts
      ? `${status.engine_restarts}, the last within ${ms(status.engine_restart_ms)} ms` : "none";
    this.showFacts([
      ["backend", status.backend || "–"],
      ["device", status.device || "–"],
      ["process", status.engine_pid ? String(status.engine_pid) : "not running"],
      ["restarts", restarts],
      ["determinism", status.engine_determinism || "–"],
    ]);
  }

  showLanes(lanes) {
    const names = new Set(lanes.map((lane) => lane.name));
    for (const [name, shown] of this.lanes)
      if (!names.has(name)) {
        shown.box.remove();
        this.lanes.delete(name);
      }
    for (const lane of lanes) {
      if (!this.lanes.has(lane.name)) this.lanes.set(lane.name, this.makeLane(lane));
      const shown = this.lanes.get(lane.name);
      shown.busy.style.width = `${Math.min(100, lane.utilization_measured * 100)}%`;
      shown.busy.style.background = lane.utilization_measured > lane.utilization_admitted + 0.1 ? "var(--warn)" : "var(--accent)";
      shown.admitted.style.left = `${Math.min(99.6, lane.utilization_admitted * 100)}%`;
      const words = `busy ${percent(lane.utilization_measured)} of ${percent(lane.utilization_admitted)} admitted`;
      setAttribute(shown.bar, "aria-label", `Lane ${lane.name}: ${words}`);
      setText(shown.busyText, words);
      const queue = `${lane.waiting} waiting`;
      setText(shown.note, `${lane.running ? `runs ${lane.running}` : "idle"} · ${queue} · least slack ${ms(lane.slack_ms)} ms`);
    }
  }

  makeLane(lane) {
    const shown = {
      busy: element("i"), admitted: element("b"), busyText: element("span", { class: "muted" }),
      note: element("p", { class: "muted mono" }),
    };
    shown.bar = element("div", { class: "bar", role: "img" }, shown.busy, shown.admitted);
    const core = lane.cpu >= 0 ? ` · core ${lane.cpu}` : "";
    shown.box = element("div", { class: "lane" },
      element("header", {}, element("span", {}, element("strong", {}, lane.name), element("span", { class: "muted" }, core)), shown.busyText),
      shown.bar, shown.note);
    this.page.lanes.append(shown.box);
    return shown;
  }

  showArena(status) {
    const key = JSON.stringify([status.arena_bytes, status.arena_used_bytes, status.tasks.map((task) => [task.name, task.arena_bytes])]);
    if (key === this.arena) return;
    this.arena = key;
    const text = `${bytes(status.arena_used_bytes)} of ${bytes(status.arena_bytes)}`;
    setText(this.page["arena-text"], text);
    setAttribute(this.page.arena, "aria-label", `Arena: ${text} used`);
    const total = Math.max(status.arena_bytes, 1);
    this.page.arena.replaceChildren(...status.tasks.map((task) => {
      const part = element("i", { title: `${task.name}: ${bytes(task.arena_bytes)}` });
      part.style.width = `${(task.arena_bytes / total) * 100}%`;
      part.style.background = colour(task.name);
      return part;
    }));
    this.page["arena-legend"].replaceChildren(...status.tasks.map((task) => {
      const dot = element("span", { class: "dot", "aria-hidden": "true" });
      dot.style.background = colour(task.name);
      return element("li", {}, dot, `${task.name} ${bytes(task.arena_bytes)}`);
    }));
  }

  showFacts(facts) {
    const list = this.page.engine;
    if (!list.children.length)
      for (const [name] of facts) list.append(element("dt", {}, name), element("dd"));
    facts.forEach(([, value], index) => setText(list.children[index * 2 + 1], value));
  }
}
