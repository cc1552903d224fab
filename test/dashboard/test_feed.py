from __future__ import annotations

import json
import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.dashboard import Cursor, Feed
from aegis_ros.dashboard.app import encode
from test.dashboard.robot import a_decision, a_job, a_status, a_task


def test_a_newcomer_gets_everything_that_is_kept_and_has_missed_nothing() -> None:
    feed = Feed(jobs=3, decisions=2)
    for number in range(5):
        feed.put_job(a_job("camera", number, number * 1e3))
        feed.put_decision(a_decision(number))
    feed.put_status(a_status((a_task(),)))
    batch, _ = feed.since(Cursor())
    assert [job.job for job in batch.jobs] == [2, 3, 4]
    assert [decision.id for decision in batch.decisions] == [3, 4]
    assert batch.status is not None
    assert batch.passed == 0


def test_nothing_comes_twice_and_an_old_status_is_not_sent_again() -> None:
    feed = Feed()
    feed.put_status(a_status())
    feed.put_job(a_job("camera", 1, 0.0))
    _, cursor = feed.since(Cursor())
    batch, _ = feed.since(cursor)
    assert batch.status is None
    assert not batch.jobs
    assert not batch.decisions
    assert batch.status_age_s is not None


@given(st.lists(st.integers(0, 12), max_size=30), st.integers(1, 8))
def test_a_slow_reader_learns_how_many_jobs_it_did_not_see(bursts: list[int], kept: int) -> None:
    feed, cursor, seen, passed, sent = Feed(jobs=kept), Cursor(), [], 0, 0
    for burst in [1, *bursts]:
        for _ in range(burst):
            feed.put_job(a_job("camera", sent, 0.0))
            sent += 1
        batch, cursor = feed.since(cursor)
        passed += batch.passed
        seen += [job.job for job in batch.jobs]
    first = seen[0]
    assert first + len(seen) + passed == sent
    assert seen == sorted(set(seen))


def test_what_was_admitted_outlasts_what_happens_all_the_time() -> None:
    feed = Feed(decisions=3)
    feed.put_decision(a_decision(1, decision="admitted"))
    for number in range(2, 8):
        feed.put_decision(a_decision(number, decision="skipped"))
    batch, cursor = feed.since(Cursor())
    assert [decision.id for decision in batch.decisions] == [1, 6, 7]
    feed.put_decision(a_decision(8, decision="skipped"))
    assert [decision.id for decision in feed.since(cursor)[0].decisions] == [8]


def test_the_age_of_a_status_grows_until_the_next() -> None:
    now_s = [100.0]
    feed = Feed(clock_s=lambda: now_s[0])
    assert feed.status_age_s is None
    feed.put_status(a_status())
    now_s[0] += 7.0
    assert feed.status_age_s == 7.0


def test_equal_decisions_that_came_as_one_are_counted_as_many() -> None:
    feed = Feed(decisions=1)
    for count in (1, 4):
        feed.put_decision(replace(a_decision(), decision="skipped", rule="rate_gate", count=count))
    assert feed.decision_counts() == {("skipped", "rate_gate"): 5}


def test_what_is_not_finite_is_null_on_the_way_to_the_browser() -> None:
    feed = Feed()
    feed.put_status(a_status((a_task(response_p99_ms=math.nan),)))
    feed.put_decision(replace(a_decision(), right=math.inf))
    feed.put_job(a_job("camera", 1, math.nan))
    reported = json.loads(encode(feed.since(Cursor())[0]))
    assert reported["status"]["tasks"][0]["response_p99_ms"] is None
    assert reported["decisions"][0]["right"] is None
    assert reported["jobs"][0][2] is None


def test_one_message_is_one_line_whatever_the_texts_hold() -> None:
    feed = Feed()
    feed.put_decision(replace(a_decision(), sentence="two\nlines\r\n\u2028 and an end: \n\n"))
    line = encode(feed.since(Cursor())[0])
    assert len(line.splitlines()) == 1
