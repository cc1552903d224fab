// Takes the news from the dashboard and hands them to the parts of the page.
import { Decisions } from "./decisions.js";
import { Device } from "./device.js";
import { Generators } from "./generators.js";
import { Memory } from "./memory.js";
import { Tasks } from "./tasks.js";
import { count, element, forgetPalette, number, percent, setAttribute, setText } from "./text.js";
import { Timeline } from "./timeline.js";
import { WhatIf } from "./whatif.js";

const JOB = ["task", "job", "stamped_ms", "received_ms", "released_ms", "started_ms", "finished_ms",
  "published_ms", "deadline_ms", "met", "execution_ms", "response_ms", "early_exit"];
const LAG_MS = 400; // news comes in batches: what is drawn must have arrived
const STALE_S = 3;

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((node) => [node.id, node]));
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const state = {
  status: null, ageS: null, heardAt: 0, offsetMs: null, paused: false, pausedAtMs: 0,
  hasJobs: false, mayChange: false, token: "", linked: false, passed: 0,
};

const authorization = () => (state.token ? { Authorization: `Bearer ${state.token}` } : {});
const timeline = new Timeline(page.timeline, (sentence) => setText(page.readout, sentence));
const tasks = new Tasks(page.tasks, (task) => change(task));
const device = new Device(page);
const memory = new Memory(page["arena-history"]);
const generators = new Generators(page["generators-panel"], page.generators);
const decisions = new Decisions(page.decisions, page.filter, page.announce);
const whatIf = new WhatIf(page, authorization);

// -- news ----------------------------------------------------------------------------------

function listen() {
  const news = new EventSource("/news");
  news.addEventListener("hello", (event) => {
    const about = JSON.parse(event.data);
    setText(page.target, about.target);
    document.title = `${about.target} · aegis_ros`;
    state.mayChange = about.may_change;
    state.fresh = false;
    page["change-column"].hidden = !about.may_change;
    page.token.hidden = !about.may_change;
    setText(page.foot, about.may_change ? "Stopping and resuming tasks needs the token." : "Read-only.");
    timeline.clear();
    tasks.clear();
    memory.clear();
    decisions.clear();
  });
  news.addEventListener("message", (event) => take(JSON.parse(event.data)));
  news.addEventListener("open", () => { state.linked = true; showLink(); });
  news.addEventListener("error", () => { state.linked = false; showLink(); });
}

function take(batch) {
  const offset = batch.now_ms - performance.now();
  // the least delayed batch tells the clock best; drift slowly towards what comes
  state.offsetMs = state.offsetMs === null || Math.abs(offset - state.offsetMs) > 2000
    ? offset : Math.max(offset, state.offsetMs - 1);
  state.heardAt = performance.now();
  state.ageS = batch.status_age_s;
  const jobs = batch.jobs.map((row) => Object.fromEntries(JOB.map((name, index) => [name, row[index]])));
  if (jobs.length) state.hasJobs = true;
  state.passed += batch.passed;
  timeline.add(jobs, batch.now_ms);
  tasks.add(jobs);
  decisions.add(batch.decisions, state.fresh);
  for (const each of batch.decisions)
    if (each.decision === "skipped" || each.decision === "lost") timeline.mark(each);
  page["no-decisions"].hidden = page.decisions.children.length > 0;
  state.fresh = true;
  if (batch.status) show(batch.status);
  else if (state.status && jobs.length && !state.paused) tasks.drawAll(state.status);
  showLink();
  if (calm.matches && !state.paused) schedule();
}

function show(status) {
  state.status = status;
  timeline.follow(status);
  if (state.paused) return;
  tasks.follow(status, state.mayChange, state.hasJobs);
  device.follow(status);
  memory.follow(status);
  generators.follow(status);
  whatIf.follow(status);
  const speaking = new Set(status.generators.map((each) => each.name)); // they have a panel of their own
  showRejected(status.rejected.filter((each) => !speaking.has(each.name)));
  page["no-tasks"].hidden = status.tasks.length > 0;
  page.tasks.hidden = status.tasks.length === 0;
  setText(page["engine-line"], status.backend ? `${status.backend} on ${status.device}` : "");
  setText(page.state, status.progress ? `${status.state}: ${status.progress}` : status.state);
  setAttribute(page.state, "data-level", { active: "good", inactive: "warn" }[status.state] ?? "none");
  showFigures(status);
}

function showRejected(rejected) {
  const key = JSON.stringify(rejected);
  if (key === state.rejected) return;
  state.rejected = key;
  page.rejected.hidden = rejected.length === 0;
  page.rejected.replaceChildren(...rejected.map((task) => element("li", {},
    element("b", {}, `${task.name} was not admitted`), `: ${task.sentence} `, element("span", { class: "muted" }, `(${task.origin})`))));
}

function showFigures(status) {
  const sum = (key, tasks = status.tasks) => tasks.reduce((total, task) => total + task[key], 0);
  const busiest = Math.max(0, ...status.lanes.map((lane) => lane.utilization_measured));
  const promised = status.tasks.filter((task) => task.criticality !== "best_effort");
  const [missed, skipped, lost] = [sum("missed", promised), sum("skipped"), sum("lost")];
  const slacks = promised.filter((task) => task.completed).map((task) => 1 - task.response_p99_ms / task.deadline_ms);
  const figures = [
    ["results a second", number(sum("rate_hz")), "", ""],
    ["late", count(missed), `of ${count(sum("completed", promised))}`, missed ? "bad" : "good"],
    ["skipped", count(skipped), lost ? `and ${count(lost)} lost` : "", skipped || lost ? "warn" : ""],
    ["least room at p99", slacks.length ? percent(Math.min(...slacks)) : "–", "of a deadline", slacks.some((each) => each < 0) ? "bad" : ""],
    ["busiest lane", percent(busiest), "", ""],
    ["arena used", percent(status.arena_bytes ? status.arena_used_bytes / status.arena_bytes : 0), "", ""],
  ];
  const list = page.figures;
  if (!list.children.length)
    for (const [name] of figures)
      list.append(element("div", {}, element("dt", {}, name), element("dd", {}, element("span"), " ", element("small"))));
  figures.forEach(([, value, note, level], index) => {
    const box = list.children[index];
    setAttribute(box, "data-level", level);
    setText(box.querySelector("span"), value);
    setText(box.querySelector("small"), note);
  });
}

function showLink() {
  const ageS = state.ageS === null ? null : state.ageS + (performance.now() - state.heardAt) / 1000;
  let [text, level, banner] = ["live", "good", ""];
  if (!state.linked) [text, level, banner] = ["no connection", "bad", "The dashboard does not answer. Is its node still running? The page reconnects by itself."];
  else if (ageS === null) [text, level, banner] = ["waiting", "warn", ""];
  else if (ageS > STALE_S) [text, level, banner] = ["stale", "bad", `No status for ${ageS.toFixed(0)} s: the orchestrator is gone, or it cannot be heard.`];
  else if (state.paused) [text, level] = ["paused", "warn"];
  setText(page.link, text);
  setAttribute(page.link, "data-level", level);
  setText(page.banner, banner);
  page.banner.hidden = !banner;
}

// -- drawing -------------------------------------------------------------------------------

let asked = false;

function schedule() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    timeline.draw(nowMs());
  });
}

function nowMs() {
  return state.paused ? state.pausedAtMs : performance.now() + (state.offsetMs ?? Date.now() - performance.now()) - LAG_MS;
}

let drawnAt = 0;

function animate(at) {
  // Thirty pictures a second are smooth enough, and leave the laptop cool; a long window, where
  // there is most to draw, moves so slowly that a picture every other pixel will do.
  const restMs = Math.max(30, (2 * timeline.windowMs) / Math.max(1, page.timeline.clientWidth));
  if (!calm.matches && !state.paused && at - drawnAt > restMs) {
    drawnAt = at;
    timeline.draw(nowMs());
  }
  requestAnimationFrame(animate);
}

timeline.onchange = () => { if (state.paused || calm.matches) schedule(); };
new ResizeObserver(() => {
  schedule();
  if (state.status) tasks.drawAll(state.status);
}).observe(page.timeline);

// -- controls ------------------------------------------------------------------------------

function pause(wanted) {
  state.pausedAtMs = nowMs();
  state.paused = wanted;
  setAttribute(page.pause, "aria-pressed", String(wanted));
  setText(page.pause, wanted ? "Resume" : "Pause");
  if (!wanted && state.status) show(state.status);
  showLink();
  schedule();
}

page.pause.addEventListener("click", () => pause(!state.paused));
page.timeline.addEventListener("keydown", (event) => {
  if (event.key !== " ") return;
  event.preventDefault();
  pause(!state.paused);
});
page.window.addEventListener("change", () => {
  timeline.windowMs = Number(page.window.value) * 1000;
  schedule();
});

function theme(name) {
  document.documentElement.dataset.theme = name;
  setText(page.theme, name === "dark" ? "Light" : "Dark");
  setAttribute(page.theme, "aria-label", `Use the ${name === "dark" ? "light" : "dark"} theme`);
  forgetPalette();
  schedule();
  if (state.status) tasks.drawAll(state.status);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;
try { chosen = localStorage.getItem("aegis-theme"); } catch { /* private windows forbid it */ }
theme(chosen === "dark" || chosen === "light" ? chosen : dark.matches ? "dark" : "light");
dark.addEventListener("change", () => { if (!chosen) theme(dark.matches ? "dark" : "light"); });
page.theme.addEventListener("click", () => {
  chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("aegis-theme", chosen); } catch { /* it holds until the page is closed */ }
  theme(chosen);
});

page.token.addEventListener("click", () => page["token-dialog"].showModal());
page["token-dialog"].addEventListener("close", () => {
  if (page["token-dialog"].returnValue === "use") state.token = page["token-input"].value.trim();
  page["token-input"].value = "";
  setText(page.token, state.token ? "Change token" : "Enter token");
});

async function change(task) {
  if (!state.token) {
    page["token-dialog"].showModal();
    return;
  }
  let told = "";
  try {
    const response = await fetch("/enabled", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...authorization() },
      body: JSON.stringify({ task: task.name, enabled: task.state === "disabled" }),
    });
    const answer = await response.json();
    told = answer.error ?? answer.why;
  } catch {
    told = "The dashboard does not answer.";
  }
  setText(page["tasks-note"], told);
  setText(page.announce, told);
}

setInterval(() => {
  showLink();
  timeline.announce(nowMs());
}, 2000);
listen();
requestAnimationFrame(animate);
