// What was decided, newest first, each with the inequality behind it.
import { clock, element, inequality, level, ms, setText, witness } from "./text.js";

const KEPT = 150;
const ADMISSION = ["admitted", "rejected", "removed", "enabled", "disabled"];
const LASTING = ["admitted", "rejected", "removed"];
const TROUBLE = ["rejected", "lost", "shed", "skipped"];

export class Decisions {
  constructor(list, filter, announce) {
    this.list = list;
    this.filter = filter;
    this.announce = announce;
    filter.addEventListener("change", () => {
      for (const item of list.children) item.hidden = !this.wanted(item.dataset.decision);
    });
  }

  clear() {
    this.list.replaceChildren();
  }

  wanted(decision) {
    const shown = { admission: ADMISSION, trouble: TROUBLE }[this.filter.value];
    return !shown || shown.includes(decision);
  }

  add(decisions, fresh) {
    for (const decision of decisions) {
      const item = element("li", { "data-decision": decision.decision }, ...card(decision));
      item.hidden = !this.wanted(decision.decision);
      this.place(item, decision);
      if (fresh && ["rejected", "lost", "shed"].includes(decision.decision))
        setText(this.announce, `${decision.task} ${decision.decision}: ${decision.sentence}`);
    }
    while (this.list.children.length > KEPT) this.forgetOne();
  }

  // What is heard late (a page that joins hears what was before) still goes where it belongs.
  place(item, decision) {
    item.stampMs = decision.stamp_ms;
    let before = this.list.firstElementChild;
    while (before && before.stampMs > item.stampMs) before = before.nextElementSibling;
    this.list.insertBefore(item, before);
  }

  forgetOne() {
    let last = this.list.lastElementChild;
    while (last && LASTING.includes(last.dataset.decision)) last = last.previousElementSibling;
    (last ?? this.list.lastElementChild).remove();
  }
}

function card(decision) {
  const stamp = new Date(decision.stamp_ms);
  const job = decision.job >= 0 ? ` job ${decision.job}` : "";
  const times = decision.count > 1 ? ` ×${decision.count}` : "";
  const parts = [
    element("div", { class: "row" },
      element("time", { datetime: Number.isNaN(stamp.valueOf()) ? "" : stamp.toISOString() }, clock(decision.stamp_ms)),
      element("span", { class: "badge", "data-level": level(decision.decision) }, `${decision.decision}${times}`),
      decision.task ? element("strong", {}, `${decision.task}${job}`) : null,
      element("span", { class: "rule mono" }, decision.rule)),
    element("p", { class: "sentence" }, decision.sentence),
  ];
  if (decision.relation) parts.push(element("code", { class: "inequality" }, inequality(decision)));
  const more = [];
  if (decision.witness) more.push(element("p", {}, witness(decision.witness)));
  if (decision.responses.length)
    more.push(element("p", {}, `Bounds: ${decision.responses.map((each) => `${each.task} ${ms(each.bound_ms)} of ${ms(each.deadline_ms)} ms`).join(", ")}.`));
  if (decision.counterfactuals.length)
    more.push(element("ul", { class: "would" }, ...decision.counterfactuals.map((each) => element("li", {}, element("span", {}, each.sentence)))));
  if (more.length) {
    const words = decision.counterfactuals.length ? "The numbers, and what would pass" : "The numbers";
    parts.push(element("details", {}, element("summary", {}, words), element("div", {}, ...more)));
  }
  return parts;
}
