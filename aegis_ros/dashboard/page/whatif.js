// Asks the admission what it would answer, and draws the answer.
import { colour, drawn, element, inequality, ms, percent, setText, witness } from "./text.js";

const NUMBERS = ["period_ms", "deadline_ms", "jitter_ms", "wcet_ms"];

export class WhatIf {
  constructor(page, authorization) {
    this.page = page;
    this.form = page.whatif;
    this.authorization = authorization;
    this.tasks = [];
    this.known = "";
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
    this.form.elements.like.addEventListener("change", () => this.takeOver());
  }

  follow(status) {
    this.tasks = status.tasks;
    const key = JSON.stringify([status.tasks.map((task) => task.name), status.lanes.map((lane) => lane.name)]);
    if (key === this.known) return;
    const first = !this.known;
    this.known = key;
    const { like, lane } = this.form.elements;
    refill(like, status.tasks.map((task) => task.name));
    refill(lane, status.lanes.map((each) => each.name));
    const left = new Set(this.without());
    this.page["q-without"].replaceChildren(...(status.tasks.length ? status.tasks.map((task) => {
      const box = element("input", { type: "checkbox", name: "without", value: task.name });
      box.checked = left.has(task.name);
      return element("label", {}, box, task.name);
    }) : [element("span", { class: "muted" }, "no task is admitted")]));
    if (first && status.tasks.length) {
      like.value = status.tasks.reduce((a, b) => (b.wcet_ms > a.wcet_ms ? b : a)).name;
      this.takeOver();
    }
  }

  without() {
    return [...this.form.querySelectorAll("input[name=without]:checked")].map((box) => box.value);
  }

  takeOver() {
    const { like, name, period_ms, deadline_ms, jitter_ms, wcet_ms, criticality } = this.form.elements;
    const task = this.tasks.find((each) => each.name === like.value);
    for (const field of this.form.querySelectorAll(".fresh")) field.hidden = Boolean(task);
    wcet_ms.placeholder = task ? ms(task.wcet_ms) : "measured";
    if (!task) return;
    name.value = `${task.name}_2`;
    period_ms.value = tidy(task.period_ms);
    deadline_ms.value = tidy(task.deadline_ms);
    jitter_ms.value = tidy(task.jitter_ms);
    wcet_ms.value = "";
    criticality.value = task.criticality;
  }

  question() {
    const fields = this.form.elements;
    const question = { name: fields.name.value.trim(), like: fields.like.value, without: this.without() };
    for (const name of ["criticality", "lane"]) question[name] = fields[name].value;
    if (!question.like)
      for (const name of ["model", "topic"]) question[name] = fields[name].value.trim();
    for (const name of NUMBERS) question[name] = fields[name].value === "" ? 0 : fields[name].valueAsNumber;
    return question;
  }

  wrong() {
    for (const field of this.form.querySelectorAll("input:not([type=checkbox])")) {
      const needed = !this.form.elements.like.value && ["model", "period_ms", "topic"].includes(field.name) && !field.value;
      const invalid = needed || !field.checkValidity();
      field.setAttribute("aria-invalid", String(invalid));
      if (invalid) return field;
    }
    return null;
  }

  async ask() {
    const wrong = this.wrong();
    const note = this.page["whatif-note"];
    if (wrong) {
      const label = wrong.labels[0].firstChild.textContent.trim();
      setText(note, wrong.name === "name"
        ? "Name: lower-case letters, digits and underscores, starting with a letter."
        : `${label}: ${wrong.value ? wrong.validationMessage : "missing"}`);
      wrong.focus();
      return;
    }
    const question = this.question();
    this.page.ask.disabled = true;
    setText(note, "asking…");
    const started = performance.now();
    try {
      const response = await fetch("/what-if", {
        method: "POST",
        headers: { "Content-Type": "application/json", ...this.authorization() },
        body: JSON.stringify(question),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
      setText(note, `answered in ${ms(performance.now() - started)} ms`);
      this.show(question, answer);
    } catch (error) {
      this.page.answer.hidden = true;
      setText(note, error instanceof TypeError ? "the dashboard does not answer" : error.message);
    } finally {
      this.page.ask.disabled = false;
    }
  }

  show(question, answer) {
    const { decision } = answer;
    const box = this.page.answer;
    box.hidden = false;
    const parts = [
      element("div", { class: "verdict", "data-level": answer.admitted ? "good" : "bad" },
        answer.admitted ? `${question.name} would be admitted` : `${question.name} would be rejected`,
        element("span", { class: "mono" }, `rule ${decision.rule}`)),
      element("p", { class: "sentence" }, decision.sentence),
    ];
    if (decision.relation) parts.push(element("code", { class: "inequality" }, inequality(decision)));
    const width = Math.max(260, box.clientWidth || 480);
    if (answer.utilization_after > 0) {
      parts.push(element("h3", {}, "Lane use ", element("span", { class: "muted" },
        `${percent(answer.utilization_before)} now, ${percent(answer.utilization_after)} with it`)));
      parts.push(usePicture(answer, width));
    }
    if (decision.witness) {
      parts.push(element("h3", {}, "Tightest interval"), witnessPicture(decision.witness, width));
      parts.push(element("p", { class: "muted" }, witness(decision.witness)));
    }
    if (answer.window) {
      const late = new Set(answer.window.dues.filter((due) => due.late).map((due) => due.task));
      parts.push(element("h3", {}, "The worst moment, up to there"));
      parts.push(windowPicture(answer.window, decision.witness, width));
      parts.push(element("p", { class: "muted" },
        "All become ready at 0, each takes its whole budget" +
        (decision.witness.blocking_task ? `, just after ${decision.witness.blocking_task} was started: ` : ": ") +
        (late.size ? `${[...late].join(", ")} would be late.` : "nobody is late.")));
    }
    if (decision.responses.length)
      parts.push(element("h3", {}, "Longest response of each task, against what its deadline leaves"), boundsPicture(decision.responses, width));
    if (decision.counterfactuals.length) {
      parts.push(element("h3", {}, "It would pass if"));
      parts.push(element("ul", { class: "would" }, ...decision.counterfactuals.map((each) => this.offer(question, each))));
    }
    box.replaceChildren(...parts);
  }

  offer(question, change) {
    const item = element("li", {}, element("span", {}, change.sentence));
    const drops = change.change === "drop" ? change.task.split(", ") : [];
    const boxes = [...this.form.querySelectorAll("input[name=without]")].filter((each) => drops.includes(each.value));
    const sets = change.task === question.name && NUMBERS.includes(change.change);
    if (!sets && !(drops.length && boxes.length === drops.length)) return item;
    const button = element("button", { type: "button", class: "small" }, "Try it");
    button.setAttribute("aria-label", `Try it: ${change.sentence}`);
    button.addEventListener("click", () => {
      for (const box of boxes) box.checked = true;
      if (sets) this.form.elements[change.change].value = tidy(change.value);
      if (change.change === "period_ms" && this.form.elements.deadline_ms.valueAsNumber === question.period_ms)
        this.form.elements.deadline_ms.value = tidy(change.value);
      this.ask();
    });
    item.append(button);
    return item;
  }
}

function tidy(value) {
  return String(Number(value.toFixed(6)));
}

function refill(select, names) {
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...names.map((name) => element("option", { value: name }, name)));
  select.value = names.includes(chosen) ? chosen : "";
}

function picture(width, height, label) {
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "picture", role: "img", "aria-label": label });
  svg.styled = (tag, attributes, fill, ...children) => {
    const node = drawn(tag, attributes, ...children);
    if (fill) node.style.fill = fill;
    svg.append(node);
    return node;
  };
  return svg;
}

function usePicture(answer, width) {
  const svg = picture(width, 18, `Lane use ${percent(answer.utilization_before)} now, ${percent(answer.utilization_after)} with it`);
  const full = Math.max(1, answer.utilization_after) * 1.02;
  const x = (share) => (share / full) * width;
  svg.styled("rect", { x: 0, y: 2, width: x(1), height: 14, rx: 4 }, "var(--sunken)");
  svg.styled("rect", { x: 0, y: 2, width: x(answer.utilization_after), height: 14, rx: 4 }, answer.utilization_after > 1 ? "var(--bad)" : colour(answer.decision.task));
  svg.styled("rect", { x: 0, y: 2, width: x(answer.utilization_before), height: 14, rx: 4 }, "var(--muted)");
  svg.styled("rect", { x: x(1) - 1, y: 0, width: 2, height: 18 }, "var(--text)");
  return svg;
}

function witnessPicture(found, width) {
  const svg = picture(width, 68, witness(found));
  const total = found.demand_ms + found.blocking_ms;
  const scale = (width - 2) / (Math.max(total, found.t_ms) * 1.02);
  svg.styled("rect", { x: 0, y: 2, width: found.t_ms * scale, height: 20, rx: 3 }, "var(--sunken)");
  svg.styled("text", { x: 8, y: 16 }, "", `interval ${ms(found.t_ms)} ms`);
  const demand = Math.max(1, found.demand_ms * scale);
  svg.styled("rect", { x: 0, y: 26, width: demand, height: 20, rx: 3 }, "var(--muted)");
  const blocking = found.blocking_ms * scale;
  if (blocking > 0) svg.styled("rect", { x: demand + 1, y: 26, width: blocking, height: 20, rx: 3 }, found.blocking_task ? colour(found.blocking_task) : "var(--wait)");
  svg.styled("rect", { x: found.t_ms * scale - 1, y: 0, width: 2, height: 50 }, found.slack_ms < 0 ? "var(--bad)" : "var(--text)");
  svg.styled("text", { x: 0, y: 61, class: "soft" }, "", `demand ${ms(found.demand_ms)} ms`);
  svg.styled("text", { x: width, y: 61, class: "soft", "text-anchor": "end" }, "",
    found.blocking_ms > 0 ? `blocking ${ms(found.blocking_ms)} ms${found.blocking_task ? ` by ${found.blocking_task}` : ""}` : "no blocking");
  return svg;
}

function windowPicture(shown, found, width) {
  const row = 24, top = 4, axis = 20, gutter = Math.min(150, width * 0.34);
  const bottom = top + shown.tasks.length * row;
  const late = shown.dues.filter((due) => due.late).map((due) => due.task);
  const svg = picture(width, bottom + axis, `Schedule of lane ${found.lane}: ${late.length ? `late: ${late.join(", ")}` : "nobody is late"}`);
  const end = Math.max(shown.end_ms, found.t_ms) * 1.03;
  const x = (t) => gutter + ((t - shown.begin_ms) / (end - shown.begin_ms)) * (width - gutter - 4);
  const y = (task) => top + shown.tasks.indexOf(task) * row;
  shown.tasks.forEach((task) => {
    const room = Math.floor(gutter / 7.2);
    svg.styled("rect", { x: gutter, y: y(task) + row / 2 - 0.5, width: width - gutter, height: 1 }, "var(--border)");
    svg.styled("text", { x: 0, y: y(task) + 16 }, "", task.length > room ? `${task.slice(0, room - 1)}…` : task);
  });
  svg.styled("rect", { x: x(0) - 0.5, y: 0, width: 1, height: bottom + 3 }, "var(--muted)");
  svg.styled("rect", { x: x(found.t_ms) - 1, y: 0, width: 2, height: bottom + 3 }, found.slack_ms < 0 ? "var(--bad)" : "var(--text)");
  for (const bar of shown.bars)
    svg.styled("rect", { x: x(bar.start_ms), y: y(bar.task) + 5, width: Math.max(1.5, x(bar.end_ms) - x(bar.start_ms) - 0.7), height: row - 10, rx: 2 }, colour(bar.task));
  for (const due of shown.dues) {
    if (!shown.tasks.includes(due.task)) continue;
    const [at, up] = [x(due.due_ms), y(due.task)];
    const ended = Math.max(0, ...shown.bars.filter((bar) => bar.task === due.task && bar.late).map((bar) => bar.end_ms));
    if (due.late && ended > due.due_ms)
      svg.styled("rect", { x: at, y: up + row - 5, width: x(ended) - at, height: 3.5 }, "var(--bad)");
    svg.styled("path", { d: `M${at - 0.6} ${up + 2}h1.2v0l5 2.6l-5 2.6v${row - 9}h-1.2z` }, due.late ? "var(--bad)" : "var(--text)");
  }
  svg.styled("text", { x: x(0), y: bottom + 16, class: "soft", "text-anchor": "middle" }, "", "0");
  svg.styled("text", { x: Math.min(x(found.t_ms), width - 30), y: bottom + 16, class: "soft", "text-anchor": "middle" }, "", `${ms(found.t_ms)} ms`);
  return svg;
}

function boundsPicture(responses, width) {
  const row = 36, height = responses.length * row;
  const svg = picture(width, height, responses.map((each) => `${each.task}: at most ${ms(each.bound_ms)} of ${ms(each.deadline_ms)} ms`).join(", "));
  const most = Math.max(...responses.map((each) => Math.max(each.bound_ms ?? 0, each.deadline_ms ?? 0)), 1e-9);
  const scale = (width - 4) / most;
  responses.forEach((each, index) => {
    const y = index * row;
    svg.styled("text", { x: 0, y: y + 13 }, "", each.task);
    svg.styled("text", { x: width, y: y + 13, class: "soft", "text-anchor": "end" }, "", `${ms(each.bound_ms)} of ${ms(each.deadline_ms)} ms`);
    svg.styled("rect", { x: 0, y: y + 19, width: each.deadline_ms * scale, height: 9, rx: 3 }, "var(--sunken)");
    svg.styled("rect", { x: 0, y: y + 19, width: Math.max(1, (each.bound_ms ?? most) * scale), height: 9, rx: 3 },
      each.bound_ms > each.deadline_ms ? "var(--bad)" : colour(each.task));
    svg.styled("rect", { x: each.deadline_ms * scale, y: y + 16, width: 2, height: 15 }, "var(--text)");
  });
  return svg;
}
