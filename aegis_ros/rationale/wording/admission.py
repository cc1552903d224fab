"""The English of :mod:`aegis_ros.rationale.admission`."""

from __future__ import annotations

from aegis_ros.rationale import admission
from aegis_ros.rationale.wording.units import fewer_frames, mib, ms, names
from aegis_ros.rationale.wording.verdicts import verdict_words
from aegis_ros.rationale.wording.words import words, words_of


@words_of(admission.TaskAdmitted)
def _task_admitted(reason: admission.TaskAdmitted) -> str:
    how = f" (chosen by {reason.lane_method})" if reason.lane_method else ""
    budget = words(reason.budget)
    times = (
        f"Deadline {reason.deadline_ns / 1e6:.1f} ms, worst-case response "
        f"{reason.bound_ns / 1e6:.1f} ms; {budget}"
        if reason.bound_ns
        else budget[:1].upper() + budget[1:]
    )
    notes = [times, words(reason.cut) if reason.cut is not None else "", reason.load_note]
    sentences = [
        f"{reason.task} runs on lane {reason.lane}{how}: "
        f"{verdict_words(reason.finding, reason.slack)}",
        "; ".join(filter(None, notes)),
        *([words(reason.results)] if reason.results is not None else []),
        *([words(reason.rows)] if reason.rows is not None else []),
        *(words(each) for each in reason.chains),
        *(words(each) for each in reason.latencies),
    ]
    if reason.decimated:
        fewer = [
            fewer_frames("it" if each.task == reason.task else each.task, each.period_ns, each.n)
            for each in reason.decimated
        ]
        sentences.append(f"So that everything fits, {', '.join(fewer)}")
    if reason.moved:
        moves = [
            f"{each.task} moves from lane {each.before} to {each.after}" for each in reason.moved
        ]
        sentences.append(f"So that it fits, {', '.join(moves)}")
    sentences += [
        f"Beside it, {each.task} on lane {each.lane} may take {ms(each.after_ns)} instead of "
        f"{ms(each.before_ns)}, and stays in time"
        for each in reason.slowed
    ]
    sentences += [
        f"{task} (lane {lane}) may be slowed beside it, which its declared budget does not count"
        for task, lane in reason.unknown
    ]
    sentences += [words(each) for each in reason.shared]
    sentences += [f"It cannot run on other lanes: {each}" for each in reason.barred]
    return ". ".join(sentences)


@words_of(admission.SharedWith)
def _shared_with(other: admission.SharedWith) -> str:
    process = f" (process {other.pid})" if other.pid else ""
    return (
        f"{other.part[:1].upper()}{other.part[1:]} is shared with {other.node}{process}, which has "
        f"admitted {other.utilization:.0%} there: this proof does not count that"
    )


@words_of(admission.ChainTime)
def _chain_time(time: admission.ChainTime) -> str:
    return (
        f"End to end, {time.chain} takes at most {time.bound_ns / 1e6:.1f} ms from the frame; its "
        f"deadline is {time.deadline_ns / 1e6:.1f} ms"
    )


@words_of(admission.ResultsMeasured)
def _results_measured(results: admission.ResultsMeasured) -> str:
    depends = "Its time depends on how much it finds: the budget was measured on"
    most = f", up to {results.most}," if results.most else ""
    more = f"frames in which it finds more{most} can take longer"
    if results.frames:
        return f"{depends} {results.frames}, and {more}"
    found = f"{depends} a generated pattern in which it finds {results.found or 'nothing'}"
    if 0 < results.most <= results.found:
        return f"{found}, the most it can"
    return f"{found}, and {more}; aegis profile CONFIG --inputs FOLDER measures frames of yours"


@words_of(admission.RowsKept)
def _rows_kept(rows: admission.RowsKept) -> str:
    limit = (
        f"Its results can have up to {rows.most} rows"
        if rows.most
        else "No limit is known of how many rows its results have"
    )
    return f"{limit}: the first {rows.kept} are kept; declare output.max_results for another number"


@words_of(admission.Budget)
def _budget(budget: admission.Budget) -> str:
    return f"{budget.source} budget {budget.work_ns / 1e6:.2f} ms ({words(budget.basis)})"


@words_of(admission.DeclaredBudget)
def _declared(basis: admission.DeclaredBudget) -> str:
    if not basis.beside:
        return "not measured"
    found = "not measured"
    if basis.slowdown > 1.0:
        found = f"{ms(basis.budget_ns)} declared, {basis.slowdown:.2f} times that beside others"
    if not basis.unmeasured:
        return found if basis.slowdown > 1.0 else f"{found}; others were measured not to slow it"
    return (
        f"{found}; {names(basis.unmeasured)} on other lanes may slow it, which no budget counts: "
        "aegis profile measures by how much, and without wcet_ms admission does"
    )


@words_of(admission.MeasuredBudget)
def _measured(basis: admission.MeasuredBudget) -> str:
    return basis.summary or basis.basis


@words_of(admission.BesideBudget)
def _beside(basis: admission.BesideBudget) -> str:
    idle = f"{ms(basis.alone_ns)} while other lanes are idle"
    if basis.at_once:
        return f"beside {basis.neighbour} at once: {words(basis.basis)}; {idle}"
    if basis.lanes == 1:
        return f"beside {basis.neighbour}: {words(basis.basis)}; {idle}"
    at_once = (
        f"{ms(basis.at_once_ns)} with several at once"
        if basis.at_once_ns
        else "never measured with all of them at once"
    )
    return (
        f"beside {basis.neighbour}, slowdowns by each other lane multiplied: "
        f"{words(basis.basis)}; {at_once}; {idle}"
    )


@words_of(admission.SeenBudget)
def _seen(basis: admission.SeenBudget) -> str:
    return f"seen in running jobs, {basis.times} of which exceeded {ms(basis.before_ns)}"


@words_of(admission.SegmentsBudget)
def _segments(basis: admission.SegmentsBudget) -> str:
    return (
        f"{basis.segments} segments of one run: {basis.summary or basis.basis}; the longest "
        f"segment {basis.longest_ns / 1e6:.2f} ms"
    )


@words_of(admission.EstimatedBudget)
def _estimated(basis: admission.EstimatedBudget) -> str:
    return f"{basis.segments} segments, estimated from the whole network: {words(basis.whole)}"


@words_of(admission.CutAsDeclared)
def _cut_as_declared(cut: admission.CutAsDeclared) -> str:
    return f"it runs in {cut.segments} segments, as declared"


@words_of(admission.CutNote)
def _cut_note(cut: admission.CutNote) -> str:
    return cut.note


@words_of(admission.CutForOthers)
def _cut_for_others(cut: admission.CutForOthers) -> str:
    return (
        f"it runs in {cut.segments} segments, the longest {ms(cut.longest_ns)}, because "
        f"{cut.waiting} tolerates {ms(cut.tolerance_ns)} of blocking and the whole network takes "
        f"{ms(cut.whole_ns)}"
    )


@words_of(admission.CutNotWorth)
def _cut_not_worth(cut: admission.CutNotWorth) -> str:
    return (
        f"it is not cut, because in {cut.segments} segments the longest would still take "
        f"{ms(cut.longest_ns)}, and {cut.waiting} tolerates {ms(cut.tolerance_ns)} of blocking"
    )


@words_of(admission.WeightsStreamed)
def _weights_streamed(cut: admission.WeightsStreamed) -> str:
    why = "as many as there is room for" if cut.chosen else "as declared"
    rate = cut.load_bytes / 2**20 / (max(1, cut.load_ns) / 1e9)
    return (
        f"{cut.resident} of its {cut.segments} segments {'is' if cut.resident == 1 else 'are'} in "
        f"memory at a time, {why} ({mib(cut.weights_bytes)} of weights instead of "
        f"{mib(cut.all_bytes)}): each job loads {mib(cut.load_bytes)} from {cut.storage} storage, "
        f"which took up to {ms(cut.load_ns)} ({rate:.0f} MiB/s) when the segments were made"
    )


@words_of(admission.ConstantLatency)
def _constant_latency(item: admission.ConstantLatency) -> str:
    age = f"{item.constant_ns / 1e6:g} ms old (output.constant_latency_ms)"
    if item.latest_ns <= item.constant_ns:
        return f"Every result of {item.task} is published when its frame is {age}"
    advice = (
        f"with {item.holds_ns / 1e6:g}, none is"
        if item.holds_ns
        else "no value that leaves time to publish before the deadline avoids that"
    )
    return (
        f"Results of {item.task} are held until their frame is {age}; their worst case is "
        f"{item.latest_ns / 1e6:.1f} ms, so some may be published later, still before the "
        f"deadline; {advice}"
    )
