// Lanes, arena and engine: what the device has, and what of it is taken.
import { rest } from "./memory.js";
import { bytes, colour, element, ms, percent, setAttribute, setText } from "./text.js";

export class Device {
  constructor(page) {
    this.page = page; // element by id
    this.lanes = new Map();
    this.arena = "";
  }

  follow(status) {
    this.showLanes(status);
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

  showLanes({ lanes, tasks, generators }) {
    const slack = [...tasks.filter((task) => task.criticality === "best_effort"), ...generators];
    const filled = new Set(slack.map((each) => each.lane)); // and may be busy all the time
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
      const over = !filled.has(lane.name) && lane.utilization_measured > lane.utilization_admitted + 0.1;
      shown.busy.style.background = over ? "var(--warn)" : "var(--accent)";
      shown.admitted.style.left = `${Math.min(99.6, lane.utilization_admitted * 100)}%`;
      const words = `busy ${percent(lane.utilization_measured)}, admitted ${percent(lane.utilization_admitted)}`;
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
    const parts = [
      ...status.tasks.map((task) => ({ name: task.name, text: task.name, size: task.arena_bytes })),
      ...status.generators.filter((each) => each.cache_bytes).map((each) => ({ name: each.name, text: `${each.name} (KV cache)`, size: each.cache_bytes })),
    ].map((part) => ({ ...part, color: colour(part.name) }));
    const shared = rest(status);
    if (shared.size) parts.push({ ...shared, color: "color-mix(in srgb, var(--muted) 35%, transparent)" });
    const key = JSON.stringify([status.arena_bytes, status.arena_used_bytes, parts]);
    if (key === this.arena) return;
    this.arena = key;
    const text = `${bytes(status.arena_used_bytes)} of ${bytes(status.arena_bytes)}`;
    setText(this.page["arena-text"], text);
    setAttribute(this.page.arena, "aria-label", `Arena: ${text} used`);
    const total = Math.max(status.arena_bytes, 1);
    this.page.arena.replaceChildren(...parts.map(({ text: what, size, color }) => {
      const part = element("i", { title: `${what}: ${bytes(size)}` });
      part.style.width = `${(size / total) * 100}%`;
      part.style.background = color;
      return part;
    }));
    this.page["arena-legend"].replaceChildren(...parts.map(({ text: what, size, color }) => {
      const dot = element("span", { class: "dot", "aria-hidden": "true" });
      dot.style.background = color;
      return element("li", {}, dot, `${what} ${bytes(size)}`);
    }));
  }

  showFacts(facts) {
    const list = this.page.engine;
    if (!list.children.length)
      for (const [name] of facts) list.append(element("dt", {}, name), element("dd"));
    facts.forEach(([, value], index) => setText(list.children[index * 2 + 1], value));
  }
}
