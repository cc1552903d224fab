"""The English of :mod:`aegis_ros.rationale.frames`."""

from __future__ import annotations

from aegis_ros.rationale import frames
from aegis_ros.rationale.wording.units import inner, length, names, plural
from aegis_ros.rationale.wording.words import words_of


@words_of(frames.NewerFrame)
def _newer_frame(reason: frames.NewerFrame) -> str:
    return f"job {reason.job} of {reason.task} skipped: a newer frame arrived while it waited"


@words_of(frames.FrameTooEarly)
def _frame_too_early(reason: frames.FrameTooEarly) -> str:
    declared = f"{reason.period_ns / 1e6:g} ms with {reason.jitter_ns / 1e6:g} ms of jitter"
    if not reason.within_ns:
        return (
            f"a frame on {reason.topic} arrived earlier than the declared period of {declared} "
            "allows, and was skipped; declare the true period and jitter if every frame matters"
        )
    text = (
        f"{reason.task} skipped {plural(reason.frames, 'frame')} on {reason.topic} that arrived "
        f"too early within {length(reason.within_ns)}; smallest gap {length(reason.least_gap_ns)}, "
        f"mean {length(reason.mean_gap_ns)}, declared {declared}"
    )
    fitting = {each.change: each.value for each in reason.counterfactuals}
    if "jitter_ms" in fitting:
        return f"{text}; declare jitter_ms >= {fitting['jitter_ms']:g} to take them all"
    if "period_ms" in fitting:
        return (
            f"{text}; declare period_ms <= {fitting['period_ms']:g} to take them all, or leave it "
            "if not every frame matters"
        )
    return f"{text}; declare the true period and jitter if every frame matters"


@words_of(frames.FrameShed)
def _frame_shed(reason: frames.FrameShed) -> str:
    return (
        f"a frame on {reason.topic} was skipped: {reason.task} is shed until the device is faster"
    )


@words_of(frames.FrameSqueezed)
def _frame_squeezed(reason: frames.FrameSqueezed) -> str:
    return f"a frame on {reason.topic} was skipped: {reason.task} is shed until memory is free"


@words_of(frames.NewerSet)
def _newer_set(reason: frames.NewerSet) -> str:
    return (
        f"a frame on {reason.topic} was skipped: newer frames of all inputs of {reason.task} "
        "arrived first"
    )


@words_of(frames.FrameUnmatched)
def _frame_unmatched(reason: frames.FrameUnmatched) -> str:
    missing = names(reason.missing) if reason.missing else f"the other inputs of {reason.task}"
    return (
        f"a frame on {reason.topic} was skipped: {missing} had no frames "
        f"stamped within {reason.tolerance_ns / 1e6:g} ms of it (sync.tolerance_ms), and at most "
        f"{reason.queue} frames wait (sync.queue)"
    )


@words_of(frames.NoFrameYet)
def _no_frame_yet(reason: frames.NoFrameYet) -> str:
    return f"job {reason.job} of {reason.task} skipped: no frame on {reason.topic} has arrived yet"


@words_of(frames.FrameOutpaced)
def _frame_outpaced(reason: frames.FrameOutpaced) -> str:
    return (
        f"a frame on {reason.topic} was skipped: a newer one arrived while it waited for the one "
        "before it to be decoded"
    )


@words_of(frames.FrameWithdrawn)
def _frame_withdrawn(reason: frames.FrameWithdrawn) -> str:
    return (
        f"a frame on {reason.topic} was skipped: it was not decoded yet when the node stopped "
        f"taking frames for {reason.task} there"
    )


@words_of(frames.BadFrame)
def _bad_frame(reason: frames.BadFrame) -> str:
    return f"a frame on {reason.topic} was skipped: {reason.problem}"


@words_of(frames.FrameMisfit)
def _frame_misfit(reason: frames.FrameMisfit) -> str:
    exact = reason.least == reason.most
    bound = "exactly" if exact else "at most" if any(reason.most[:1]) else "at least"
    wanted = reason.most if bound == "at most" else reason.least
    if reason.format in ("points4f", "ranges1f"):
        what = "points" if reason.format == "points4f" else "ranges"
        wants, brought = f"{wanted[0]} {what}", str(reason.shape[0])
        hint = "declare preprocess.resize: crop (more come), pad (fewer come) or sample (either)"
        if reason.left_out:
            brought += f" ({reason.left_out} more were left out as NaN or infinite)"
            hint += ", or invalid: zero"
    elif reason.format == "tensor32f":
        wants, brought = f"numbers of shape {list(wanted)}", str(list(reason.shape))
        hint = "correct what is published"
    else:
        wants = f"frames of {wanted[0]} x {wanted[1]}"
        brought = " x ".join(str(extent) for extent in reason.shape[:2])
        hint = "declare preprocess.resize: stretch or letterbox, which take frames of any size"
    return (
        f"a frame on {reason.topic} was skipped: the network of {reason.task} takes {bound} "
        f"{wants}, and {brought} came; {hint}"
    )


@words_of(frames.NoFrameSlot)
def _no_frame_slot(reason: frames.NoFrameSlot) -> str:
    return f"a frame on {reason.topic} was skipped: all frame slots are in use"


@words_of(frames.TopicSilent)
def _topic_silent(reason: frames.TopicSilent) -> str:
    return (
        f"{reason.task} has received no frame for {reason.silent_ns / 1e9:.1f} s; before, one "
        f"arrived every {reason.usual_ns / 1e9:.3g} s. Check the publisher of {reason.topic}"
    )


@words_of(frames.TopicBack)
def _topic_back(reason: frames.TopicBack) -> str:
    return f"{reason.topic} is back after {reason.silent_ns / 1e9:.1f} s"


@words_of(frames.FramesLost)
def _frames_lost(reason: frames.FramesLost) -> str:
    return (
        f"messages on {reason.topic} were lost in transport, {reason.total} so far; large messages "
        "need the Fast DDS profile in the publisher's process, too"
    )


@words_of(frames.FramesOvertaken)
def _frames_overtaken(reason: frames.FramesOvertaken) -> str:
    return (
        f"messages on {reason.topic} were replaced by newer ones before the node took them, "
        f"{reason.total} so far: they came faster than it took them; aegis doctor says whether "
        "something else takes its cores"
    )


@words_of(frames.StampsWentBack)
def _stamps_went_back(reason: frames.StampsWentBack) -> str:
    return (
        f"the stamps on {reason.topic} went back by {reason.back_ns / 1e9:.1f} s (a bag that "
        "loops, or a clock that was set); deadlines follow the monotonic clock and are not affected"
    )


@words_of(frames.StampsAhead)
def _stamps_ahead(reason: frames.StampsAhead) -> str:
    return (
        f"the stamps on {reason.topic} are at least {length(reason.ahead_ns)} ahead of this "
        f"node's clock, so the sender's clock is ahead; response times of {reason.task} are "
        "measured from reception instead. Synchronise both clocks (chrony or PTP)"
    )


@words_of(frames.StampsBehind)
def _stamps_behind(reason: frames.StampsBehind) -> str:
    age, deadline = length(reason.behind_ns), length(reason.deadline_ns)
    return (
        f"frames on {reason.topic} are at least {age} old by their stamps when they arrive, more "
        f"than the deadline of {reason.task} ({deadline}): "
        "every result is late. Either the sender's clock is behind (synchronise both with chrony "
        "or PTP), or it stamps or sends its frames late"
    )


@words_of(frames.StampsAgree)
def _stamps_agree(reason: frames.StampsAgree) -> str:
    return f"the stamps on {reason.topic} agree with this node's clock again"


@words_of(frames.StampsOffClock)
def _stamps_off_clock(reason: frames.StampsOffClock) -> str:
    where = "ahead of" if reason.ahead_ns > 0 else "behind"
    return (
        f"the stamps on {reason.topic} are {length(abs(reason.ahead_ns))} {where} this node's "
        "clock (another machine's clock, a driver that does not stamp, or an old recording); "
        f"response times of {reason.task} are measured from reception instead"
    )


@words_of(frames.CannotSubscribe)
def _cannot_subscribe(reason: frames.CannotSubscribe) -> str:
    return (
        f"cannot subscribe to {reason.topic} as {reason.type}: {inner(reason.problem)}; unregister "
        f"{reason.task} and choose another topic"
    )


@words_of(frames.PublisherOfOtherQos)
def _publisher_of_other_qos(reason: frames.PublisherOfOtherQos) -> str:
    policy = reason.policy.replace("_", " ")
    hint = (
        f"declare qos: {reason.offered}, or have the publisher offer {reason.requested}"
        if reason.policy == "reliability"
        else f"have the publisher offer {reason.requested}"
    )
    return (
        f"{_deaf(reason)}: the publisher offers {policy} {reason.offered}, and the subscription "
        f"asks for {reason.requested}; {hint}"
    )


@words_of(frames.PublisherOfOtherType)
def _publisher_of_other_type(reason: frames.PublisherOfOtherType) -> str:
    return (
        f"{_deaf(reason)}: it publishes {reason.offered}, and the task declares type: "
        f"{reason.requested}; declare the publisher's type, or choose another topic"
    )


def _deaf(reason: frames.PublisherOfOtherQos | frames.PublisherOfOtherType) -> str:
    publisher = reason.publisher or "a publisher"
    return f"{reason.task} receives nothing from {publisher} on {reason.topic}"
