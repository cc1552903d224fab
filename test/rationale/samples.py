"""One example or more of everything that is put into words, with numbers as they occur."""

from __future__ import annotations

from aegis_ros.rationale import Counterfactual, Inequality, ResponseBound, Rule, Witness
from aegis_ros.rationale import adaptation as t
from aegis_ros.rationale import admission as a
from aegis_ros.rationale import arena as h
from aegis_ros.rationale import budgets as b
from aegis_ros.rationale import changes as c
from aegis_ros.rationale import decimation as n
from aegis_ros.rationale import device as d
from aegis_ros.rationale import engine as e
from aegis_ros.rationale import frames as f
from aegis_ros.rationale import generators as g
from aegis_ros.rationale import jobs as j
from aegis_ros.rationale import lanes as w
from aegis_ros.rationale import loading as m
from aegis_ros.rationale import memory as y
from aegis_ros.rationale import prompts as o
from aegis_ros.rationale import rejection as r
from aegis_ros.rationale import requests as q
from aegis_ros.rationale import results as p
from aegis_ros.rationale import verdicts as v
from aegis_ros.rationale.wording import counterfactual

MS = 1_000_000
S = 1_000_000_000
MIB = 1024 * 1024

TIGHT = Witness("main", 25 * MS, 10 * MS, 8_240_000, "caption", 6_760_000)
TOO_MUCH = Witness("main", 25 * MS, 22 * MS, 8_240_000, "caption", -5_240_000)
UNBLOCKED = Witness("main", 25 * MS, 31 * MS, 0, "", -6 * MS)
SLACK = (v.SlackShare("caption", 5.0, 3.25),)
LATE = v.DemandTooHigh("main", TOO_MUCH)
MORE_TIME = counterfactual(c.PeriodLonger("detector", 52_300_000, 40 * MS, with_deadline=True))

HAS_ROOM = t.ArenaHasRoom(420 * MIB, 1024 * MIB, 600 * MIB, 0.6)
TIGHT_ARENA = t.ArenaTight(900 * MIB, 1024 * MIB, 0.85)
FEWER = t.FewerAreFaster(34.5, 52.6)
LONG_SLOW = t.SlowerWithLength(512, 24.1, 58.8, 0.5, 3)
WAITED = t.RequestsWait(3, 5 * S)
CALM = t.NobodyWaits(5 * S)
FAILED = t.AllocationFailed(7, 45 * MIB)
LEARNED = t.PolicyAsked("learned", "more tokens are expected soon.")

BORNE = g.StepBorne("main", 32_900_001, "detector", 45 * MS, 12_100_000)
FAILS = g.StepBorne("main", 0, "detector", 40 * MS, 12_100_000)
SHORT = (
    g.BucketTried("prefill 2", 18_100_000, 1, True),
    g.BucketTried("decode 1 (int4)", 6_100_000, 6, True),
)
LONG = (
    g.BucketTried("prefill 32", 68_100_000, 2, False),
    g.BucketTried("decode 4 (int8)", 46 * MS, 1, False),
)
FINER = counterfactual(c.CutBucket("assistant", "prefill 32", 5, 27_200_000))

MORE_JITTER = c.JitterLonger("face_detector", 52 * MS, 5 * MS)
SHORTER_PERIOD = c.PeriodShorter("face_detector", 151 * MS, 200 * MS)


def overran(**changes: object) -> j.Overran:
    """Return an overrun of a job in one segment, changed."""
    fields: dict[str, object] = {
        "task": "detector",
        "job": 7,
        "lane": "main",
        "segment": 0,
        "segments": 1,
        "taken_ns": 13 * MS,
        "budget_ns": 10 * MS,
        "used_ns": 13 * MS,
        "whole_ns": 10 * MS,
    }
    return j.Overran(**(fields | changes))  # type: ignore[arg-type]


def exceeded(**changes: object) -> b.BudgetExceeded:
    """Return a budget that is exceeded again and again, changed."""
    fields: dict[str, object] = {
        "task": "detector",
        "lane": "main",
        "times": 5,
        "within_ns": 12 * S,
        "beside": (),
        "before_ns": 10 * MS,
        "seen_ns": 13 * MS,
        "declared": False,
        "late": "",
        "late_ns": 0,
        "test": Inequality(18.24, "<=", 25.0, "ms"),
        "finding": v.DemandFits("main", TIGHT),
        "utilization_before": 0.4,
        "utilization_after": 0.5,
    }
    return b.BudgetExceeded(**(fields | changes))  # type: ignore[arg-type]


def admitted(**changes: object) -> a.TaskAdmitted:
    """Return an admission to the only lane, changed."""
    fields: dict[str, object] = {
        "task": "detector",
        "rule": Rule.DEMAND_BOUND,
        "lane": "main",
        "lane_method": "",
        "test": Inequality(18.24, "<=", 25.0, "ms"),
        "finding": v.DemandFits("main", TIGHT),
        "slack": (),
        "bound_ns": 61_500_000,
        "deadline_ns": 98 * MS,
        "budget": a.Budget(
            "measured", 22 * MS, a.MeasuredBudget("the slowest of 300 runs, times 1.2")
        ),
        "cut": None,
        "load_note": "",
        "latencies": (),
        "decimated": (),
        "utilization_before": 0.2,
        "utilization_after": 0.42,
        "witness": TIGHT,
        "responses": (ResponseBound("detector", "main", 61_500_000, 98 * MS),),
    }
    return a.TaskAdmitted(**(fields | changes))  # type: ignore[arg-type]


def rejected(**changes: object) -> r.NotSchedulable:
    """Return a rejection by the demand test on the only lane, changed."""
    fields: dict[str, object] = {
        "task": "detector",
        "rule": Rule.DEMAND_BOUND,
        "lane": "main",
        "lanes": 1,
        "test": Inequality(30.24, ">", 25.0, "ms"),
        "finding": LATE,
        "cut": None,
        "utilization_before": 0.2,
        "utilization_after": 0.42,
        "witness": TOO_MUCH,
        "counterfactuals": (MORE_TIME,),
    }
    return r.NotSchedulable(**(fields | changes))  # type: ignore[arg-type]


def others_late(**changes: object) -> r.OthersLate:
    """Return a rejection for the sake of another lane, changed."""
    fields: dict[str, object] = {
        "task": "detector",
        "rule": Rule.DEMAND_BOUND,
        "lane": "gpu0",
        "other": "map",
        "other_lane": "gpu1",
        "late_ns": 5_240_000,
        "slowed": (a.SlowedTask("map", "gpu1", 10 * MS, 13 * MS),),
        "test": Inequality(30.24, ">", 25.0, "ms"),
        "finding": LATE,
        "utilization_before": 0.2,
        "utilization_after": 0.42,
        "witness": TOO_MUCH,
        "counterfactuals": (counterfactual(c.OtherDeadlineLonger("detector", "map", 120 * MS)),),
    }
    return r.OthersLate(**(fields | changes))  # type: ignore[arg-type]


def decimated(before: int, after: int, cause: n.DecimationCause) -> n.DecimationChanged:
    """Return a change of decimation of a camera at 10 Hz."""
    slow = cause in (n.DecimationCause.SLOWER, n.DecimationCause.FASTER)
    other = "pilot" if cause in (n.DecimationCause.ADMITTED, n.DecimationCause.REMOVED) else ""
    return n.DecimationChanged(
        "map", "main", 100 * MS, before, after, cause, other, 0.6 if slow else 1.0
    )


def too_early(*changes: Counterfactual) -> f.FrameTooEarly:
    """Return what there is to say of a camera at 5 Hz that is early now and then."""
    return f.FrameTooEarly(
        "face_detector",
        900,
        "/camera/image",
        200 * MS,
        5 * MS,
        frames=14,
        within_ns=60 * S,
        least_gap_ns=151 * MS,
        mean_gap_ns=200 * MS,
        counterfactuals=changes,
    )


REASONS = (
    # generators
    g.GeneratorAdmitted("assistant", "main", BORNE, (*SHORT, *LONG), 46.63, 0.0, (FINER,)),
    g.GeneratorAdmitted("assistant", "main", BORNE, SHORT, 46.63, 4.0),
    g.GeneratorAdmitted("assistant", "main", None, SHORT, 100.0),
    g.GeneratorAdmitted("assistant", "main", BORNE, SHORT, 0.0),
    g.GeneratorRefused("assistant", "main", BORNE, "decode", (SHORT[0], *LONG), (FINER,)),
    g.GeneratorRefused("assistant", "main", FAILS, "prefill", (SHORT[1], *LONG)),
    g.PromiseRefused("assistant", "main", 20.0, 31_000_000, "detector", 12.5),
    g.PromiseRefused("assistant", "main", 20.0, 31_000_000, "detector", 0.0),
    g.BucketsChanged("assistant", "main", BORNE, ("prefill 2", "prefill 8"), ("prefill 2",)),
    g.BucketsChanged("assistant", "main", None, ("prefill 2",), ("prefill 2", "decode 4")),
    g.StepOverran("assistant", "main", "prefill 8", 1, 9_300_000, 7_100_000),
    g.UnknownGenerator("asistant", ("assistant", "captioner")),
    g.UnknownGenerator("", ()),
    g.AnswerLost("assistant", 7, 12),
    g.ModelFailed("assistant", 7, 1, "BackendError: no memory for part 2"),
    g.ModelFailed("assistant", 7, 12, ""),
    g.CacheTooLarge("assistant", 4, 4096, 720 * MIB, 256 * MIB, 1, 1456),
    g.CacheTooLarge("assistant", 1, 4096, 180 * MIB, 128 * MIB, 0, 2912),
    g.CacheTooLarge("assistant", 4, 4096, 720 * MIB, 0, 0, 0),
    g.CacheTooLarge(
        "assistant",
        4,
        4096,
        720 * MIB,
        256 * MIB,
        1,
        1456,
        (
            counterfactual(c.ArenaLarger("assistant", 1488)),
            counterfactual(c.DropTasks("assistant", ("map", "text"))),
        ),
        (h.Holder("map", 400 * MIB), h.Holder("text", 90 * MIB)),
        (h.SharedPiece(("map", "text"), "staging", 150 * MIB),),
    ),
    g.AnswerCapped("assistant", 5, 24, 2000, 1000),
    g.AnswerLimited("assistant", 5, 24, 2000, 512),
    g.AnswerTooLong("assistant", 5, 24, 2000, 1000),
    g.PromptTooLong("assistant", 5, 5000, 1023),
    g.RequestWaits("assistant", 5, 4, 1),
    g.RequestWaits("assistant", 5, 1, 3),
    g.TooManyRequests("assistant", 5, 4, 8),
    g.TooManyRequests("assistant", 5, 1, 1),
    g.TooManyRequests("assistant", 0, 4, 8),
    # prompts by topic
    o.PromptReplaced("assistant", "/ask", 1),
    o.PromptReplaced("assistant", "/ask", 4),
    o.PromptLeftOut("assistant", "/ask", 1),
    o.PromptLeftOut("assistant", "/ask", 4),
    o.BadPrompt("assistant", "/ask", "the prompt is not valid UTF-8 (got 0xff at byte 7)."),
    o.PromptWithdrawn("assistant", "/ask"),
    o.StandingPromptBusy("eye", 1, 5 * S),
    o.StandingPromptBusy("eye", 2, 5 * S),
    o.StandingPromptLate("eye", 5 * S),
    o.StandingPromptUnseen("eye", "no image has come since the last prompt."),
    o.CannotTakePrompts(
        "assistant", "/ask", "std_msgs/msg/String", "the topic is in use with type x/msg/Y"
    ),
    o.PromptsOfOtherType("assistant", "/ask", "/ui", "x/msg/Y", "std_msgs/msg/String"),
    o.PromptsOfOtherType("assistant", "/ask", "", "x/msg/Y", "std_msgs/msg/String"),
    o.PromptsOfOtherType("eye", "/camera", "/driver", "x/msg/Y", "sensor_msgs/msg/CompressedImage"),
    # adaptation of generators
    t.LimitChanged("assistant", "batch", 1, 4, HAS_ROOM),
    t.LimitChanged("assistant", "batch", 4, 2, TIGHT_ARENA),
    t.LimitChanged("assistant", "batch", 2, 1, FEWER),
    t.LimitChanged("assistant", "batch", 4, 2, FAILED),
    t.LimitChanged("assistant", "chunk", 32, 16, LEARNED),
    t.LimitChanged("assistant", "length", 1024, 512, LONG_SLOW),
    t.LimitChanged("assistant", "length", 512, 1024, CALM),
    t.LimitChanged("assistant", "precision", "float32", "int8", WAITED),
    t.LimitChanged("assistant", "precision", "int8", "", CALM),
    t.OutOfMemory("assistant", 7, 45 * MIB, 2, 2),
    t.OutOfMemory("assistant", 7, 0, 1, 1),
    t.PolicyLeftAside("assistant", "learned", "raised ValueError: no such key."),
    t.PolicyLeftAside("assistant", "learned", "chose batch 3, which was not admitted"),
    # frames
    f.NewerFrame("detector", 5),
    f.FrameTooEarly("detector", 5, "/camera/image", 50 * MS, 5 * MS),
    too_early(counterfactual(MORE_JITTER)),
    too_early(counterfactual(SHORTER_PERIOD)),
    too_early(),
    f.FrameShed("detector", 5, "/camera/image"),
    f.FrameSqueezed("detector", 5, "/camera/image"),
    f.BadFrame("detector", 5, "/camera/image", "data: too short (got 200); expected 921600."),
    f.FrameMisfit("loc", 5, "/scan", "ranges1f", (361,), (360,), (360,), 0),
    f.FrameMisfit("seg", 5, "/cloud", "points4f", (90, 4), (100, 4), (100, 4), 10),
    f.FrameMisfit("seg", 5, "/cloud", "points4f", (90, 4), (100, 4), (0, 4), 0),
    f.FrameMisfit("detector", 5, "/image", "rgb8", (720, 1280, 3), (1, 1, 3), (480, 640, 3), 0),
    f.FrameMisfit("state", 5, "/state", "tensor32f", (5,), (6,), (6,), 0),
    f.NoFrameSlot("detector", 5, "/camera/image"),
    f.NewerSet("fusion", 5, "/camera/image"),
    f.FrameOutpaced("detector", 5, "/camera/image/compressed"),
    f.FrameWithdrawn("detector", 5, "/camera/image/compressed"),
    f.FrameUnmatched("fusion", 5, "/camera/image", 20 * MS, 4),
    f.FrameUnmatched("fusion", 5, "/camera/image", 20 * MS, 4, ("/lidar", "/radar")),
    f.NoFrameYet("fusion", 5, "/camera/image"),
    f.TopicSilent("detector", "/camera/image", 2 * S, 50 * MS, S),
    f.TopicBack("detector", "/camera/image", 31 * S),
    f.FramesLost("detector", "/camera/image", 12),
    f.FramesOvertaken("detector", "/camera/image", 3),
    f.StampsWentBack("detector", "/camera/image", 40 * S),
    f.StampsAhead("detector", "/camera/image", 3 * S),
    f.StampsAhead("detector", "/camera/image", 1_200_000),
    f.StampsBehind("detector", "/camera/image", 3200 * MS, 100 * MS),
    f.StampsAgree("detector", "/camera/image"),
    f.StampsOffClock("detector", "/camera/image", -9000 * S),
    f.CannotSubscribe("detector", "/camera/image", "sensor_msgs/msg/Image", "type mismatch"),
    f.PublisherOfOtherQos(
        "detector", "/camera/image", "/camera", "reliability", "best_effort", "reliable"
    ),
    f.PublisherOfOtherQos("detector", "/camera/image", "/camera", "deadline", "200 ms", "100 ms"),
    f.PublisherOfOtherType(
        "detector",
        "/camera/image",
        "/camera",
        "sensor_msgs/msg/CompressedImage",
        "sensor_msgs/msg/Image",
    ),
    # jobs
    j.JobFailed("detector", 5, "ValueError: no such kernel"),
    j.JobNotRun("detector", 5, Rule.LIMIT, "all output slots are held by the node"),
    overran(),
    overran(absorbed=True),
    overran(segments=4, segment=1, whole_ns=40 * MS, skips=1),
    overran(taken_ns=9 * MS, used_ns=12 * MS),
    overran(applied="stop", skips=3),
    overran(applied="demote"),
    overran(applied="early_exit", segments=4, exit_after=2),
    overran(applied="early_exit", segments=4, segment=1, exit_after=2),
    exceeded(),
    exceeded(declared=True, beside=(b.RanBeside("caption", "aux", 4),)),
    exceeded(
        late="caption",
        late_ns=5_240_000,
        finding=LATE,
        beside=(b.RanBeside("caption", "aux", 4), b.RanBeside("faces", "third", 1)),
    ),
    j.SkippedToRepay("detector", 5),
    j.JobStopped("detector", 5),
    j.SkippedWhileShedding("detector", 5, "main"),
    j.ShedForOverrun("detector", "low", "main", "brake", 7),
    j.RestoredAtIdle("detector", "main", 12 * MS),
    j.FirstStageMissed("classifier", 5, "detector", 7),
    j.NoBoxes("classifier", 5, "detector"),
    # engine
    e.EngineLost(e.EngineEnded(-9), 1),
    e.EngineLost(e.LoopStuck(1_200 * MS), 3, ("detector", "map")),
    e.EngineNotBack("the engine did not answer within 10 s."),
    e.EngineGivenUp(5, 60 * S),
    e.EngineBack(612 * MS, 1),
    e.EngineBack(612 * MS, 2, ("detector",), (("map", "out of memory"),)),
    e.EngineBack(612 * MS, 2, (), (("map", "state_dir: a file is gone. It is made anew."),)),
    e.JobsLost("detector", 1),
    e.JobsLost("detector", 2),
    e.Quarantined("hog", "the engine ended (SIGSEGV)"),
    e.TaskNotReloaded("detector", "out of memory"),
    e.TaskNotReloaded("detector", "state_dir: a file of the network is gone. It is made anew."),
    e.LaneOutage("detector", "main", 2700 * MS, 100 * MS, e.LaneStuck("hog", 2100 * MS, 10 * MS)),
    e.NotUnloaded("detector", "the engine is gone."),
    # lanes
    w.LanesChosen(
        w.LaneAlternative("2 lanes", 2, 0.412, "detector"),
        (
            w.LaneAlternative("1 lane", 1, -1.12, utilization=1.12),
            w.LaneAlternative("3 lanes", 3, -0.064, "detector", 3_200_000),
        ),
        (w.LanePlace("lane1", ("detector",)), w.LanePlace("lane2", ("map", "text"))),
    ),
    w.LanesChosen(
        w.LaneAlternative("1 lane", 1, -1.12, utilization=1.12),
        (w.LaneAlternative("2 lanes", 2, -1.3, utilization=1.3),),
        (w.LanePlace("main", ("detector", "map")),),
    ),
    # device
    d.DeviceSpeed(0.6, "nvml", 91.0, 1, 0),
    d.DeviceSpeed(0.8, "", None, 0, 2),
    d.DeviceSpeed(0.3, "nvml", 95.0, 2, 1),
    d.DeviceSpeed(1.0, "nvml", 60.0, 0, 0),
    d.ShedForSpeed("caption", "best_effort", "main", 0.6, 1.133, 0.833),
    d.RestoredForSpeed("caption", "main", 0.9, 10 * S, 0.05, 0.75),
    d.RestoredForSpeed("caption", "main", 1.0, 10 * S, 0.05, 0.68),
    # memory
    y.ShedForMemory("caption", 300 * MIB, 150 * MIB, 3900 * MIB, 195 * MIB, 0.02, 0.1, "machine"),
    y.ShedForMemory(
        "llm", 800 * MIB, 90 * MIB, 500 * MIB, 25 * MIB, 0.31, 0.1, "control group /robot"
    ),
    y.ShedForMemory("llm", 800 * MIB, 0, 0, 0, 0.31, 0.1, ""),
    y.RestoredForMemory("caption", 300 * MIB, 900 * MIB, 3900 * MIB, 195 * MIB, 30 * S, "machine"),
    y.RestoredForMemory("caption", 300 * MIB, 0, 0, 0, 30 * S, ""),
    y.StillShort("caption", "onnxruntime: no memory for the network"),
    # decimation
    decimated(1, 2, n.DecimationCause.ADMITTED),
    decimated(2, 1, n.DecimationCause.REMOVED),
    decimated(3, 2, n.DecimationCause.SHARED_ANEW),
    decimated(1, 3, n.DecimationCause.SLOWER),
    decimated(3, 1, n.DecimationCause.FASTER),
    # results
    p.PublishingTooSlow("detector", 5, 64),
    p.ResultUnwanted("detector", 5),
    p.ResultUnwanted("", 5),
    p.TooManyHeld("detector", 5, 80 * MS),
    p.NotPublished("detector", 5, "the context is not valid"),
    p.ResultNotFinite("detector", 5, ("scores",)),
    p.ResultNotFinite("detector", 6, ("boxes", "scores")),
    p.RowsLeftOut("detector", 5, "masks", 100, 143),
    p.DecoderFailed("detector", 5, "boxes", "IndexError: 4"),
    p.CannotPublish("detector", "/boxes", "type mismatch"),
    # requests
    q.TaskRemoved("detector", "main", False, 0.42, 0.2),
    q.TaskRemoved("detector", "main", True, 0.42, 0.2),
    q.TaskRemoved("detector", "gpu0", False, 0.42, 0.2, ("map",)),
    q.TaskRemoved("detector", "gpu0", False, 0.42, 0.2, ("map", "text")),
    q.AdmissionCancelled("detector", "register", "measuring", 120, 350),
    q.AdmissionCancelled("detector", "profile", "waiting"),
    q.TaskMoved("map", "cpu0", "gpu0", "detector", 22 * MS, 0.42),
    q.TaskMoved("map", "gpu0", "cpu0", "detector", 11 * MS, 0.21, back=True),
    q.TaskEnabled("detector", "main", 0.22),
    q.TaskDisabled("detector", "main", 0.22),
    q.Measuring("detector", 300, 10 * S),
    q.MeasuringBeside("detector", "map", 50, 3 * S),
    q.MeasuringBeside("detector", "map and text", 50, 3 * S, 2),
    q.Measured("detector", 22 * MS, "the slowest of 300 runs, times 1.2"),
    q.FileDecides("detector"),
    q.JournalUnreadable("detector", "journal entry detector: period_ms: out of range (got 0)"),
    q.JournalLocked("/state/nodes/orchestrator/journal.sqlite", 10 * S),
    q.JournalNotRead("/state/nodes/orchestrator/journal.sqlite", "database is locked"),
    q.JournalNotWritten("/state/nodes/orchestrator/journal.sqlite", "database or disk is full"),
    q.JournalWritten(),
    q.JournalFound(("detector", "map")),
    q.StateExposed("/state"),
    q.StateExposed("/state/cache", 1001),
    q.StateNotKept("/state", "Read-only file system"),
    q.NotClaimed("Permission denied"),
    q.ProfilesNotKept("profiles cannot be stored (database or disk is full)"),
    q.CyclesNotKept("cycles of generators cannot be written (database or disk is full)"),
    q.TaskRemembered("detector", 1_764_000_000 * S),
    q.TaskRemembered("detector", 0),
    q.TaskRemembered("detector", 0, ("preprocess.pad", "queue")),
    q.TaskForgotten("detector"),
    q.TaskForgotten("detector", from_file=True),
    q.StoreDamaged("the journal of admitted tasks", "/state/journal.sqlite.damaged"),
    q.NotLoaded("gpu1", "memory", "it needs 128 MiB, and 60 are left"),
    q.NotTraced("OSError: no space left on device", begun=True),
    q.NotTraced("trace.file: cannot be written.", begun=False),
    q.TracedAgain(412, 4_200_000_000),
    # rejections
    r.Invalid("detector", Rule.SCHEMA, "task.period_ms: out of range (got 0); expected above 0."),
    r.Invalid("detector", Rule.MODEL_ROOTS, "model: outside the roots (got /etc/passwd)."),
    r.Invalid("detector", Rule.MODEL_DIGEST, "sha256: not the file that was declared."),
    r.Invalid("detector", Rule.MODEL_VALID, "model: not an ONNX file."),
    r.Invalid("detector", Rule.MODEL_CUT, "segments: the network can be cut at 3 places."),
    r.Invalid("detector", Rule.DECODER, "output.decoder: no such decoder."),
    r.Failed("detector", "the GPU's memory does not suffice."),
    r.Unforeseen("detector", "KeyError('x')"),
    r.NotConfigured("detector"),
    r.NotAccepted("detector", "none"),
    r.NotAccepted("detector", "local", ("/remote/teleop",)),
    r.CriticalRunning("detector"),
    r.Cancelled("detector", "register", "measuring", 120, 350),
    r.Cancelled("detector", "profile", "waiting"),
    r.Cancelled("detector", "evaluate", "preparing"),
    r.TooManyWaiting("detector", 64),
    r.NameTaken("detector"),
    r.NoSuchTask("detektor", "detektor", ("detector", "map")),
    r.NoSuchTask("detector", "detector", ()),
    r.ChainLate(
        "classifier",
        "main",
        (v.ChainTooLong("detector → classifier", "detector", "classifier", 92 * MS, 80 * MS),),
        92 * MS,
        80 * MS,
    ),
    r.NotStreamed("detector", 2, "tensorrt", ("onnxruntime",), ""),
    r.NotStreamed("detector", 2, "onnxruntime", (), "not cut into 8 segments: too few places"),
    r.Followed("detector", ("classifier",)),
    r.TooManyTasks("detector", 256),
    r.NoSuchLane("detector", "gpu", ("main", "side")),
    r.ModelUnreadable("detector", "detector.onnx", "[Errno 13] Permission denied"),
    r.NoProfile("detector", "Orin", 1, False),
    r.NoProfile("detector", "Orin", 4, False),
    r.NoProfile("detector", "Orin", 4, True),
    r.NotMeasuredBeside("detector", "gpu0", ("map", "text"), "the GPU"),
    others_late(),
    others_late(late_ns=0, finding=v.LaneOverloaded("gpu1", 1.12), counterfactuals=()),
    r.ProfileUnreadable("detector"),
    h.ArenaFull(
        "detector",
        300 * MIB,
        900 * MIB,
        1024 * MIB,
        (
            counterfactual(c.ArenaLarger("detector", 1200)),
            counterfactual(c.DropForArena("detector", "map", 400 * MIB)),
        ),
        h.ArenaShares(180 * MIB, 100 * MIB, 0, 20 * MIB),
        (
            h.Holder("map", 400 * MIB, h.ArenaShares(320 * MIB, staging=80 * MIB)),
            h.Holder("text", 90 * MIB, h.ArenaShares(90 * MIB)),
        ),
        (
            h.SharedPiece(("map", "text"), "activations", 260 * MIB, "gpu0"),
            h.SharedPiece(("map", "text", "lanes"), "staging", 150 * MIB),
        ),
    ),
    h.ArenaFull(
        "detector",
        30 * MIB,
        1000 * MIB,
        1024 * MIB,
        (
            counterfactual(c.ArenaLarger("detector", 1030)),
            counterfactual(c.DropTasks("detector", ("map", "text"))),
        ),
        h.ArenaShares(30 * MIB),
        (h.Holder("map", 600 * MIB), h.Holder("text", 400 * MIB)),
        twice=h.HeldTwice("map", "gpu0", "gpu1"),
    ),
    h.ArenaFull(
        "detector",
        120 * MIB,
        960 * MIB,
        1024 * MIB,
        (
            counterfactual(
                c.ResidentOther(
                    "detector", 2, 61 * MIB, 120 * MIB, 95 * MS, 28 * MS, loads_only=True
                )
            ),
            counterfactual(c.ArenaLarger("detector", 1080)),
        ),
        h.ArenaShares(118 * MIB, 2 * MIB),
    ),
    h.ArenaFull(
        "detector",
        2048 * MIB,
        0,
        1024 * MIB,
        (counterfactual(c.ArenaLarger("detector", 2048)),),
        h.ArenaShares(2048 * MIB),
    ),
    rejected(),
    rejected(lanes=2, cut=a.CutAsDeclared(4), counterfactuals=()),
    r.NoSuchOutput("detector", "aux", ("logits", "exit")),
    r.OutputsDiffer("detector", "logits", "float32 [4]", "exit", "int64 [4]"),
    r.NoStandIn("detector", "boxes", "logits", 3, 4),
    r.ExitUnknownToBackend("detector", "logits", "exit", "tensorrt"),
    r.ExitIncomplete("detector", "logits", "exit", 1, 2, ""),
    r.ExitIncomplete("detector", "logits", "exit", 2, 4, "not cut into 4 segments: too small"),
    # admissions
    admitted(),
    admitted(chains=(a.ChainTime("detector → classifier", 61_500_000, 98 * MS),)),
    admitted(
        lane_method="best fit",
        slack=SLACK,
        budget=a.Budget("declared", 22 * MS, a.DeclaredBudget(22 * MS)),
        load_note="two engines",
    ),
    admitted(
        task="caption",
        finding=v.NoDeadlines("main"),
        rule=Rule.UTILIZATION,
        slack=SLACK,
        bound_ns=0,
        deadline_ns=0,
    ),
    admitted(
        budget=a.Budget(
            "measured", 44 * MS, a.SegmentsBudget(2, "the slowest of 300 runs, times 1.2", 23 * MS)
        ),
        cut=a.CutForOthers(2, 23 * MS, 44 * MS, "brake", 33 * MS),
        latencies=(
            a.ConstantLatency("detector", 80 * MS, 63_500_000, 63_500_000),
            a.ConstantLatency("map", 15 * MS, 32 * MS, 32 * MS),
            a.ConstantLatency("gate", 15 * MS, 32 * MS, 0),
        ),
        decimated=(n.EveryNth("detector", 100 * MS, 2), n.EveryNth("map", 200 * MS, 3)),
    ),
    admitted(
        budget=a.Budget("estimated", 25 * MS, a.EstimatedBudget(2, a.DeclaredBudget(22 * MS))),
        cut=a.CutNotWorth(8, 9 * MS, "brake", 3 * MS),
    ),
    admitted(
        lane_method="moving another task",
        moved=(a.MovedTask("map", "gpu0", "cpu0"), a.MovedTask("text", "gpu0", "cpu1")),
        shared=(a.SharedWith("core 3", "/left/orchestrator", 4711, 0.7),),
        barred=("detector has no WCET profile on Orin, and measuring it now would disturb others",),
    ),
    admitted(
        budget=a.Budget(
            "measured",
            31 * MS,
            a.BesideBudget("map", 1, 22 * MS, a.MeasuredBudget("the slowest of 50 runs")),
        ),
        slowed=(a.SlowedTask("map", "gpu1", 10 * MS, 13 * MS),),
    ),
    admitted(
        budget=a.Budget(
            "measured",
            36 * MS,
            a.BesideBudget("map", 2, 22 * MS, a.MeasuredBudget("the slowest of 50 runs")),
        ),
    ),
    admitted(unknown=(("map", "gpu1"),)),
    admitted(cut=a.CutNote("not cut into 2 segments: its output 'x' differs")),
)

FINDINGS = (
    v.LaneEmpty("main"),
    v.NoDeadlines("main"),
    v.LaneOverloaded("main", 1.12),
    v.LaneOverloaded("main", 1.0000001),
    v.LaneOverloaded("main", 1.0 + 1e-12),
    v.TaskTooLong("detector", 120 * MS, 0, 100 * MS),
    v.TaskTooLong("detector", 90 * MS, 20 * MS, 100 * MS),
    LATE,
    v.DemandTooHigh("main", UNBLOCKED),
    v.DemandFits("main", TIGHT),
    v.Undecided("main", 0.9999, -1),
    v.Undecided("main", 1.0, 0),
    v.NothingToDrop(LATE),
    v.LateInHighMode("main", LATE),
    v.ModesHold("main"),
    v.IdlingUnneeded(v.DemandFits("main", TIGHT)),
    v.BlockedInSlack(LATE, ("caption",)),
    v.JitterHidesJobs(LATE, ("detector", "map")),
    v.LateDespiteIdling("main", "detector", 200 * MS, 45_500_000, 40 * MS),
    v.IdlingHelps("main", 600 * MS),
    v.CycleTooLong(90 * S, 100_000),
    v.CycleTooLong(
        None,
        4_000,
        (
            v.NearPeriod("camera", 33_333_333, 33_400_000),
            v.NearPeriod("lidar", 50 * MS, 50_100_000),
        ),
        100_200_000,
    ),
    v.UndecidedSchedule("main", None),
    v.UndecidedSchedule("main", v.CycleTooLong(90 * S, 100_000)),
    v.UndecidedTable("main", v.CycleTooLong(None, 2_000)),
    v.PlacesAmbiguous(("detector",)),
    v.NoTableExists("main"),
    v.NoGapFits("main", 12, 600 * MS, ("caption",), 7_500_000),
    v.TableHolds("main", 12, 600 * MS),
    v.LateWithChainJitter(LATE),
    v.ChainTooLong("avoid", "detect", "track", 92 * MS, 80 * MS),
    v.ChainsHold(),
    v.ChainsUndecided(),
)

CHANGES = (
    c.PeriodLonger("detector", 52_300_000, 40 * MS, with_deadline=True),
    c.PeriodLonger("detector", 52_300_000, 40 * MS, with_deadline=False),
    MORE_JITTER,
    SHORTER_PERIOD,
    c.DeadlineExtended("detector", 52 * MS, 12 * MS),
    c.DeadlineLonger("detector", 54 * MS),
    c.OtherDeadlineLonger("detector", "map", 120 * MS),
    c.BudgetSmaller("detector", 18_200_000, 22 * MS),
    c.CutTask("detector", 4, 6 * MS),
    c.CutOther("detector", "map", 4, 6 * MS),
    c.CutBucket("assistant", "prefill 32", 5, 27_200_000),
    c.DropTask("detector", "map", "low"),
    c.DropTasks("detector", ("map", "caption")),
    c.DropForArena("detector", "map", 400 * MIB),
    c.ArenaLarger("detector", 1200),
    c.ResidentOther("detector", 4, 120 * MIB, 61 * MIB, 28 * MS, 95 * MS),
    c.DropForRest(("map", "caption"), 3),
)

PARTS = (
    HAS_ROOM,
    TIGHT_ARENA,
    FEWER,
    LONG_SLOW,
    t.SlowerWithLength(512, 24.1, 58.8, 0.5, 1),
    WAITED,
    t.RequestsWait(0, 5 * S),
    CALM,
    FAILED,
    t.AllocationFailed(7, 0),
    LEARNED,
    t.PolicyAsked("learned"),
    BORNE,
    FAILS,
    g.StepBorne("main", 32_900_001, "detector", 0, 0),
    w.LaneAlternative("2 lanes", 2, 0.412),
    w.LaneAlternative("4 lanes", 4, 0.3, "detector", gap=0.031, assumed=2),
    w.LaneAlternative("4 lanes", 4, -1.0, memory=True),
    w.LaneAlternative("3 lanes", 3, -1.0),
    w.LaneAlternative("2 lanes of 33 and 33 multiprocessors", 2, -1.0, unmeasured=("map",)),
    w.LaneAlternative("3 lanes", 3, -1.0, unmeasured=("detector", "map")),
    w.LaneAlternative("4 lanes", 4, -1.0, problem="the engine did not start (exit code 1)."),
    w.LanePlace("lane1", ("detector", "map")),
    w.LanePlace("lane3", ()),
    e.EngineEnded(-9),
    e.EngineEnded(-99),
    e.EngineEnded(70),
    e.LoopStuck(1_200 * MS),
    e.LaneStuck("hog", 2100 * MS, 10 * MS),
    e.LaneStuck("", 61 * S, 0),
    a.ChainTime("detector → classifier", 61_500_000, 98 * MS),
    a.SharedWith("the device gpu-0", "/left/orchestrator", 0, 0.7),
    a.Budget("measured", 22 * MS, a.MeasuredBudget("the slowest of 300 runs, times 1.2")),
    a.DeclaredBudget(22 * MS),
    a.DeclaredBudget(22 * MS, ("map",)),
    a.DeclaredBudget(22 * MS, ("map",), 1.0, ("map",)),
    a.DeclaredBudget(22 * MS, ("map",), 1.4),
    a.DeclaredBudget(22 * MS, ("map", "text"), 1.4, ("text",)),
    a.SeenBudget(5, 10 * MS),
    a.BesideBudget("map", 2, 22 * MS, a.MeasuredBudget("the slowest of 50 runs"), 30 * MS),
    a.BesideBudget(
        "map and text",
        2,
        22 * MS,
        a.MeasuredBudget("the slowest of 50 runs"),
        50 * MS,
        at_once=True,
    ),
    a.BesideBudget("map", 1, 22 * MS, a.MeasuredBudget("the slowest of 50 runs")),
    a.MeasuredBudget("the slowest of 300 runs, times 1.2"),
    a.MeasuredBudget("all that is known of the runs", "the slowest of 300 runs plus 10%; i.i.d."),
    a.SegmentsBudget(2, "the slowest of 300 runs, times 1.2", 23 * MS),
    a.EstimatedBudget(2, a.DeclaredBudget(22 * MS)),
    a.ResultsMeasured("12 images of street", 3, 300, 100),
    a.ResultsMeasured("", 0, 300, 100),
    a.ResultsMeasured("", 3, 0, 0),
    a.ResultsMeasured("", 3, 0, 100),
    a.ResultsMeasured("", 300, 300, 100),
    a.RowsKept(100, 0),
    a.RowsKept(100, 76_800),
    a.CutAsDeclared(4),
    a.CutNote("not cut into 2 segments: its output 'x' differs"),
    a.CutForOthers(2, 23 * MS, 44 * MS, "brake", 33 * MS),
    a.CutNotWorth(8, 9 * MS, "brake", 3 * MS),
    a.WeightsStreamed(8, 2, True, 61 * MIB, 548 * MIB, 487 * MIB, 1_570 * MS, "cold"),
    a.WeightsStreamed(4, 1, False, 20 * MIB, 61 * MIB, 61 * MIB, 8 * MS, "warm"),
    a.ConstantLatency("detector", 80 * MS, 63_500_000, 63_500_000),
)

LOAD_FAILURES = (
    m.NotOnnx("a web page"),
    m.NotOnnx("a zip archive, as PyTorch saves models"),
    m.NotOnnx(),
    m.LfsPointer(25_300_000),
    m.FileChanged(),
    m.TooLarge(3_200_000_000, 2 * 1024**3),
    m.WeightsElsewhere("net.onnx", ("net.data",), ()),
    m.WeightsElsewhere("net.onnx", ("a", "b", "c", "d"), ("b", "d")),
    m.OpsetTooNew("ai.onnx", 27, 26),
    m.OpsetTooNew("ai.onnx.ml", 9, 5),
    m.FormatTooNew(14, 13),
    m.OperatorMissing("EfficientNMS_TRT", ""),
    m.OperatorMissing("Frobnicate", "org.example"),
    m.OperatorMissing("Frobnicate", ""),
    m.OperatorMissing("QAttention", "com.microsoft"),
    m.KernelMissing("Conv", 11, "/head/Conv"),
    m.KernelMissing("Conv", 11, ""),
    m.TypeRefused("Conv", "/head/Conv", "x", "int32"),
    m.TypesDiffer("Add", "/head/Add", "float", "double"),
    m.RankUnknown("input", "images"),
    m.GraphInvalid("Required attribute 'axis' is missing"),
    m.OperatorFailed("Gather", "/head/Gather", "indices element out of data bounds, idx=77"),
    m.ShapesDoNotFit("MatMul", "/head/MatMul", "Incompatible dimensions"),
    m.SizeRefused("preprocess.size", "images", (416, 416), (320, 320)),
    m.RuntimeRefuses("the moon is full"),
    m.MemoryUsedUp(3 * 1024 * MIB),
    m.MemoryUsedUp(3 * 1024 * MIB, of_disk=True),
    m.MemoryUsedUp(),
    m.TookTooLong(120.0),
    m.ReadTooLong(60.0),
    m.Crashed("SIGSEGV", "", 3 * 1024 * MIB),
    m.Crashed("code 1", "ModuleNotFoundError: No module named 'onnx'", 0),
    m.DiskFull("/home/robot/.ros/aegis_ros/networks"),
    m.DiskRefuses("/home/robot/.ros/aegis_ros/networks", "Read-only file system"),
    m.FileGone("/home/robot/.ros/aegis_ros/networks/0a1b.onnx"),
    m.FileDamaged("/home/robot/.ros/aegis_ros/networks/0a1b.onnx"),
)
