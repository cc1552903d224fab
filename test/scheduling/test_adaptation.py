"""Limits of a generator: among what was admitted, not too often, and back after pressure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aegis_ros.errors import ConfigError
from aegis_ros.rationale import Reason
from aegis_ros.rationale.adaptation import (
    ArenaHasRoom,
    ArenaTight,
    FewerAreFaster,
    LimitChanged,
    NobodyWaits,
    OutOfMemory,
    PolicyAsked,
    PolicyLeftAside,
    RequestsWait,
    SlowerWithLength,
)
from aegis_ros.rationale.wording import sentence
from aegis_ros.scheduling.adaptation import (
    Choice,
    Controller,
    DefaultRules,
    Figures,
    Limits,
    MemoryFailure,
    Menu,
    Thresholds,
    Wish,
    adaptation_names,
    controller_of,
)

MS, S = 1_000_000, 1_000_000_000
GIB = 1024 * 1024 * 1024
DECODES = {1: 10 * MS, 2: 15 * MS, 4: 27 * MS}


def menu(slots: int = 4, precisions: Iterable[tuple[str, int]] = (("", 1),)) -> Menu:
    choices = [
        Choice(tokens, prefill, name, total_ns // faster)
        for name, faster in precisions
        for tokens, prefill, total_ns in (
            (2, True, 13 * MS),
            (8, True, 29 * MS),
            *((size, False, taken) for size, taken in DECODES.items()),
        )
    ]
    return Menu(choices, slots=slots, max_len=1_000, slot_bytes=100)


def figures(now_ns: int, limits: Limits, **given: int) -> Figures:
    known: dict[str, object] = {
        "prefill": False,
        "size": limits.batch,
        "precision": limits.precision,
        "answers": limits.batch,
        "context": 10,
        "tokens": limits.batch,
        "duration_ns": DECODES.get(limits.batch, 1),
        "running": limits.batch,
        "waiting": 0,
        "arena_used_bytes": 7_000,
        "arena_bytes": 10_000,
    }
    return Figures(now_ns=now_ns, **(known | given))  # type: ignore[arg-type]


class Course:
    """Runs a controller for a while with figures that stay the same."""

    def __init__(self, controller: Controller) -> None:
        self.controller, self.now_ns = controller, 0

    def run(self, seconds: float, **given: int) -> list[Reason]:
        found: list[Reason] = []
        end_ns = self.now_ns + int(seconds * S)
        while self.now_ns < end_ns:
            self.now_ns += 100 * MS
            found += self.controller.after(figures(self.now_ns, self.controller.limits, **given))
        return found


def changes(reasons: Iterable[Reason]) -> list[tuple[str, object, object, type]]:
    return [
        (each.limit, each.before, each.after, type(each.cause))
        for each in reasons
        if isinstance(each, LimitChanged)
    ]


def test_it_begins_with_all_that_was_admitted_and_the_batch_that_is_fastest() -> None:
    assert Controller("assistant", menu()).limits == Limits(8, 4, 1_000)
    assert Controller("assistant", menu(slots=2)).limits.batch == 2, "more have no slot"
    one = [Choice(2, True, "", 1), Choice(1, False, "", 10), Choice(4, False, "", 50)]
    slow = Menu(one, slots=4, max_len=10, slot_bytes=1)
    assert Controller("assistant", slow).limits.batch == 1, "four at once take longer than four"


def test_a_menu_without_a_chunk_and_a_decode_of_one_precision_is_none() -> None:
    with pytest.raises(ValueError, match="a chunk and a decode"):
        Menu([Choice(1, False, "a", 1), Choice(2, True, "b", 1)], slots=1, max_len=2, slot_bytes=1)


def test_a_tight_arena_takes_answers_away_step_by_step_and_one_with_room_gives_them_back() -> None:
    course = Course(Controller("assistant", menu()))
    found = course.run(5, arena_used_bytes=9_000)
    assert changes(found) == [("batch", 4, 2, ArenaTight), ("batch", 2, 1, ArenaTight)]
    assert course.run(5, arena_used_bytes=8_000) == [], "between the thresholds nothing changes"
    found = course.run(5, arena_used_bytes=5_000)
    assert changes(found) == [("batch", 1, 2, ArenaHasRoom), ("batch", 2, 4, ArenaHasRoom)]


def test_what_a_smaller_batch_frees_is_waited_for() -> None:
    course = Course(Controller("assistant", menu()))
    assert changes(course.run(9, arena_used_bytes=9_000, running=4)) == [
        ("batch", 4, 2, ArenaTight)
    ], "all four still run"


def test_answers_that_would_fill_the_arena_are_not_tried() -> None:
    course = Course(Controller("assistant", menu()))
    course.run(5, arena_used_bytes=900, arena_bytes=1_000)
    room = course.run(5, arena_used_bytes=540, arena_bytes=1_000)
    # One runs; with two, 640 are used; with four it would be 840 of 850, and is.
    assert changes(room)[-1][:3] == ("batch", 2, 4)
    course.run(5, arena_used_bytes=900, arena_bytes=1_000)
    room = course.run(5, arena_used_bytes=590, arena_bytes=1_000, running=0)
    assert changes(room) == [("batch", 1, 2, ArenaHasRoom)], "990 of 1,000 are too much"


def test_fewer_answers_at_once_where_they_were_measured_to_be_faster() -> None:
    course = Course(Controller("assistant", menu()))
    course.run(2, size=2, duration_ns=15 * MS)
    found = course.run(0.4, duration_ns=40 * MS)
    assert changes(found) == [("batch", 4, 2, FewerAreFaster)]
    assert course.run(30, arena_used_bytes=100) == [], "it is not tried again at once"
    # What was measured once does not count for ever.
    assert changes(course.run(60, arena_used_bytes=100)) == [("batch", 2, 4, ArenaHasRoom)]


def test_long_requests_are_shortened_where_they_are_slow_and_others_wait() -> None:
    course = Course(Controller("assistant", menu()))
    course.run(1)
    assert course.run(2, context=700, duration_ns=70 * MS) == [], "nobody waits for them"
    found = course.run(2, context=700, duration_ns=70 * MS, waiting=3)
    assert changes(found) == [("length", 1_000, 625, SlowerWithLength)]
    assert course.controller.limits.answer(prompt=100, asked=900) == 525
    assert course.controller.limits.answer(prompt=700, asked=300) == 300, "nobody is refused"
    assert changes(course.run(9)) == [("length", 625, 1_000, NobodyWaits)]


def test_a_cheaper_precision_where_requests_wait_all_the_time_and_back_when_nobody_does() -> None:
    course = Course(Controller("assistant", menu(precisions=[("int8", 3), ("float32", 1)])))
    assert course.controller.limits.precision == "float32", "the most expensive one first"
    assert course.run(4, waiting=2) == []
    course.run(0.2)
    assert course.run(4, waiting=2) == [], "somebody waited, but not all the time"
    found = course.run(4, waiting=2)
    assert changes(found) == [("precision", "float32", "int8", RequestsWait)]
    assert course.run(4) == []
    assert changes(course.run(4)) == [("precision", "int8", "float32", NobodyWaits)]


def test_an_arena_that_stays_tight_takes_the_precision_last() -> None:
    course = Course(Controller("assistant", menu(precisions=[("a", 1), ("b", 2)])))
    found = course.run(9, arena_used_bytes=9_000)
    assert [each[:3] for each in changes(found)] == [
        ("batch", 4, 2),
        ("batch", 2, 1),
        ("precision", "a", "b"),
    ]
    assert course.run(4, arena_used_bytes=8_000) == [], "not as soon as it is not tight"
    assert changes(course.run(4, arena_used_bytes=8_000))[0][:3] == ("precision", "b", "a")


def test_memory_that_cannot_be_taken_halves_the_batch_at_once_and_is_tried_again_once() -> None:
    course = Course(Controller("assistant", menu()))
    course.run(1)
    first = course.controller.failed(course.now_ns, MemoryFailure(request=7, need_bytes=45))
    assert first.again and changes(first.reasons)[0][:3] == ("batch", 4, 2)
    second = course.controller.failed(
        course.now_ns, MemoryFailure(request=7, need_bytes=45, tried=2)
    )
    assert not second.again and second.reasons == (OutOfMemory("assistant", 7, 45, 2, 2),)
    course.controller.failed(course.now_ns, MemoryFailure(request=8))
    last = course.controller.failed(course.now_ns, MemoryFailure(request=9))
    assert last == type(last)(False, (OutOfMemory("assistant", 9, 0, 1, 1),))
    assert changes(course.run(20, arena_bytes=0)) == [
        ("batch", 1, 2, NobodyWaits),
        ("batch", 2, 4, NobodyWaits),
    ], "it comes back where no arena says anything, too"


def test_a_chunk_that_has_no_memory_is_halved_itself_and_below_what_was_tried() -> None:
    controller = Controller("assistant", menu())
    chunks = sorted(menu().chunks(controller.limits.precision))
    failure = MemoryFailure(request=7, prefill=True, size=chunks[-1])
    assert changes(controller.failed(0, failure).reasons)[0][:3] == ("chunk", *chunks[:-3:-1])
    for size, batch in ((2, 1), (1, 1)):  # smaller than the limit, and the smallest
        controller.failed(0, MemoryFailure(request=7, size=size))
        assert controller.limits.batch == batch


def test_the_smallest_batch_is_not_halved() -> None:
    controller = Controller("assistant", menu(slots=1))
    assert not controller.failed(0, MemoryFailure(request=1)).again and controller.limits.batch == 1


# -- policies of others ---------------------------------------------------------------------------


class Asks:
    """A policy that answers with whatever it is given."""

    def __init__(self, menu: Menu, *answers: object, first: object = None) -> None:
        self.answers = list(answers)
        self._first = first or DefaultRules(menu).first()

    def first(self) -> object:
        return self._first

    def after(self, figures: Figures, limits: Limits) -> object:
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def with_policy(*answers: object, first: object = None) -> Course:
    def make(menu: Menu) -> Asks:
        return Asks(menu, *answers, first=first)

    return Course(Controller("assistant", menu(), make, name="learned"))  # type: ignore[arg-type]


def test_a_policy_of_somebody_else_is_followed_and_named() -> None:
    course = with_policy(Wish(Limits(2, 1, 500), "it is late"))
    found = course.run(1)
    assert [each[:3] for each in changes(found)] == [
        ("batch", 4, 1),
        ("chunk", 8, 2),
        ("length", 1_000, 500),
    ]
    assert found[0].cause == PolicyAsked("learned", "it is late")  # type: ignore[attr-defined]


def test_a_cause_of_somebody_else_never_gets_into_our_record() -> None:
    found = with_policy(Wish(Limits(2, 1, 500), ArenaTight(1, 0, 0.5))).run(1)
    assert found[0].cause == PolicyAsked("learned")  # type: ignore[attr-defined]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (ValueError("no such key"), "raised ValueError: no such key"),
        (Unspeakable(), "raised Unspeakable"),
        ("faster", "answered with str instead of a Wish"),
        (Wish("faster"), "answered with str instead of Limits"),  # type: ignore[arg-type]
        (
            Wish(Limits(8, 3, 1_000)),
            "chose batch 3, which was not admitted (admitted: 1, 2, 4)",
        ),
        (
            Wish(Limits(8, True, 1_000)),
            "chose batch True, which was not admitted (admitted: 1, 2, 4)",
        ),
        (Wish(Limits(4, 4, 1_000)), "chose chunk 4, which was not admitted (admitted: 2, 8)"),
        (Wish(Limits(8, 4, 1_001)), "chose length 1001; expected 2 to 1000"),
        (Wish(Limits(8, 4, 1_000, "int2")), "chose precision 'int2', which was not admitted"),
        (
            Wish(Limits(8, 4, 1_000, ["int2"])),  # type: ignore[arg-type]
            "chose precision ['int2'], which was not admitted",
        ),
    ],
)
def test_a_policy_that_fails_is_left_aside_and_ours_goes_on(answer: object, problem: str) -> None:
    course = with_policy(answer)
    found = course.run(1, arena_used_bytes=9_000)
    assert found[0] == PolicyLeftAside("assistant", "learned", problem)
    assert changes(found) == [("batch", 4, 2, ArenaTight)]


@pytest.mark.parametrize("first", ["nothing", Limits(8, 3, 1_000)])
def test_a_policy_that_cannot_begin_is_left_aside(first: object) -> None:
    course = with_policy(first=first)
    assert course.controller.limits == Limits(8, 4, 1_000)
    assert [type(each) for each in course.run(1)] == [PolicyLeftAside]


def test_a_policy_that_cannot_be_made_is_left_aside() -> None:
    def make(menu: Menu) -> Asks:
        raise OSError("no weights")

    course = Course(Controller("assistant", menu(), make, name="learned"))  # type: ignore[arg-type]
    assert course.run(1)[0] == PolicyLeftAside("assistant", "learned", "raised OSError: no weights")


def test_policies_are_found_by_name() -> None:
    assert {"default", "static"} <= set(adaptation_names())
    course = Course(controller_of("assistant", menu(), "static"))
    assert course.run(20, arena_used_bytes=9_900, waiting=9) == []
    with pytest.raises(ConfigError, match="no such adaptation policy"):
        controller_of("assistant", menu(), "clever")


# -- whatever the figures -------------------------------------------------------------------------

SIZES = st.sets(st.integers(1, 9), min_size=1, max_size=3)
NAMES = st.sets(st.sampled_from(["", "int8", "float32"]), min_size=1)


@st.composite
def menus(draw: st.DrawFn) -> Menu:
    choices = [
        Choice(tokens, prefill, precision, draw(st.integers(1, 50)) * MS)
        for precision in sorted(draw(NAMES))
        for prefill in (True, False)
        for tokens in sorted(draw(SIZES))
    ]
    slots = draw(st.integers(1, 6))
    return Menu(choices, slots=slots, max_len=draw(st.integers(2, 99)), slot_bytes=7)


ANY = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-5, 200))
CYCLES = st.builds(
    Figures,
    now_ns=st.integers(0, 40 * S),
    prefill=st.booleans(),
    size=ANY,
    precision=st.sampled_from(["", "int8", "float32", "none"]),
    answers=ANY,
    context=ANY,
    tokens=ANY,
    duration_ns=ANY,
    running=ANY,
    waiting=ANY,
    arena_used_bytes=ANY,
    arena_bytes=ANY,
)


def asks_for_anything(draws: list[object]) -> object:
    def make(menu: Menu) -> Asks:
        return Asks(menu, *draws)

    return make


@st.composite
def wishes(draw: st.DrawFn) -> list[object]:
    number = st.integers(0, 9)
    limits = st.builds(
        Limits, number, number, st.integers(0, 99), st.sampled_from(["", "int8", "float32"])
    )
    return draw(st.lists(st.one_of(st.none(), st.builds(Wish, limits, st.text())), max_size=40))


@given(menus(), st.lists(CYCLES, max_size=40), st.one_of(st.none(), wishes()))
def test_limits_stay_among_the_admitted_and_change_once_in_the_dwell_time_at_most(
    menu: Menu, cycles: list[Figures], wishes: list[object] | None
) -> None:
    policy = DefaultRules if wishes is None else asks_for_anything(wishes)
    controller = Controller("assistant", menu, policy, name="learned")  # type: ignore[arg-type]
    changed: list[int] = []
    for cycle in cycles:
        before = controller.limits
        assert menu.problem(before) == ""
        found = controller.after(cycle)
        assert all(sentence(each) for each in found), "each has words"
        differ = {
            name
            for name in ("batch", "chunk", "length", "precision")
            if getattr(before, name) != getattr(controller.limits, name)
        }
        assert {each.limit for each in found if isinstance(each, LimitChanged)} == differ
        if differ:
            changed.append(cycle.now_ns)
    assert menu.problem(controller.limits) == ""
    assert all(later - earlier >= S for earlier, later in pairwise(changed))


@given(menus(), st.lists(CYCLES, max_size=30), st.lists(st.integers(0, 30), max_size=3))
def test_all_comes_back_after_pressure(
    menu: Menu, cycles: list[Figures], failures: list[int]
) -> None:
    controller = Controller("assistant", menu)
    first = controller.limits
    for at, cycle in enumerate(cycles):
        controller.after(cycle)
        if at in failures:
            controller.failed(cycle.now_ns, MemoryFailure(request=at))
    now_ns = 41 * S
    for _ in range(300):
        now_ns += S
        limits = controller.limits
        calm = figures(now_ns, limits, arena_used_bytes=0, arena_bytes=10**9, running=0)
        taken_ns = menu.decode_ns(limits.batch, limits.precision)
        controller.after(replace(calm, duration_ns=taken_ns))
    limits = controller.limits
    assert (limits.chunk, limits.length) == (first.chunk, first.length)
    assert limits.precision == first.precision
    speed = {
        each: each / menu.decode_ns(each, first.precision)
        for each in menu.batches(limits.precision)
    }
    assert speed[limits.batch] * 1.1 >= max(speed.values())


@given(st.lists(st.integers(0, 10_000), min_size=20, max_size=60), st.integers(1, 20))
def test_pressure_that_comes_and_goes_moves_nothing_faster_than_the_dwell_time(
    used: list[int], period_ms: int
) -> None:
    controller = Controller("assistant", menu())
    now_ns, moves = 0, 0
    for share in used:
        for _ in range(20):
            now_ns += period_ms * MS
            cycle = figures(now_ns, controller.limits, arena_used_bytes=share)
            moves += len(controller.after(cycle))
    assert moves <= now_ns // S + 1


# Each speed varies by this factor at most. A batch that was left is then faster by too little to
# come back, also by way of a third one, which takes more of one kind and fewer of the other.
_AT = Thresholds()
BAND = 0.999 * min(
    (_AT.more * _AT.fewer) ** (1 / 2),
    (_AT.more * _AT.more * _AT.fewer) ** (1 / 3),
    (_AT.more * _AT.fewer * _AT.fewer) ** (1 / 3),
)
BATCHES = (1, 2, 4)
SPELLS = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(BATCHES), st.sampled_from([10, 700]), st.integers(1, 40)
    ),
    max_size=12,
)


@given(st.tuples(*[st.floats(0.9, 1.2)] * 3), st.tuples(*[st.floats(0, 1)] * 3), SPELLS)
@example((1.0, 0.96, 0.1), (0.0, 1.0, 0.0), [(1.0, 1, 10, 9), (0.0, 2, 10, 9), (1.0, 1, 10, 40)])
def test_speeds_that_vary_by_less_than_both_thresholds_never_bring_back_a_batch_that_was_left(
    slowest: tuple[float, ...],
    budgeted: tuple[float, ...],
    spells: list[tuple[float, int, int, int]],
) -> None:
    def taken_ns(size: int, level: float) -> int:
        return int(size * 10 * MS / (slowest[BATCHES.index(size)] * BAND**level))

    decodes = [
        Choice(size, False, "", taken_ns(size, level))
        for size, level in zip(BATCHES, budgeted, strict=True)
    ]
    known = Menu([Choice(2, True, "", 1), *decodes], slots=4, max_len=1_000, slot_bytes=100)
    controller = Controller("assistant", known)
    now_ns, batches = 0, [controller.limits.batch]
    for level, asked, context, times in spells:
        for _ in range(times):
            now_ns += 2 * S
            size = min(asked, controller.limits.batch)
            given = {"size": size, "context": context, "duration_ns": taken_ns(size, level)}
            cycle = figures(now_ns, controller.limits, arena_used_bytes=100, **given)
            if controller.after(cycle):
                batches.append(controller.limits.batch)
    assert len(set(batches)) == len(batches), batches
