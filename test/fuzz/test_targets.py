"""A few hundred inputs for each way in, the same in every run: nothing but answers and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from test.fuzz.session import Failure, opened
from test.fuzz.target import Limits, Target, load, names

_SEED = 1
# Time and memory depend on the machine, and on what else this process does: `make fuzz`.
_UNBOUNDED = Limits(seconds=float("inf"), memory_bytes=2**62)


def _target(name: str) -> Target:
    try:
        return replace(load(name), limits=_UNBOUNDED)
    except ImportError as error:
        pytest.skip(f"{name} cannot be attacked here: {error}")


@pytest.mark.parametrize("name", names())
def test_every_input_is_answered_or_refused(name: str) -> None:
    target, found = _target(name), list[Failure]()
    seeds = target.seeds()
    with opened(target, found.append) as session:
        for number in range(len(seeds) + target.brief):
            session.attempt(number, target.input(seeds, _SEED, number))
    assert not found, "\n".join(f"{each.number}: {each.kind}\n{each.problem}" for each in found[:3])
    # A target that takes everything, or nothing, tests nothing.
    assert 0 < session.tally.taken < session.tally.inputs
