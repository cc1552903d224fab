"""The page in a real browser, at a hundred jobs a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `dashboard` is not installed")
pytest.importorskip("uvicorn", reason="the extra `dashboard` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `dashboard` is not installed")

from aegis_ros.dashboard import Feed, RejectedView, Settings
from aegis_ros.dashboard.server import Server
from test.dashboard.browser import Browser, Page, a_browser, find_browser
from test.dashboard.robot import FakeRobot, a_decision, a_generator, a_job, a_status, a_task, fill

_PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(
    _PROGRAM is None,
    reason="no Chromium: `make test` brings it on Debian as root, elsewhere install one",
)

_TOKEN = "0123456789abcdef"
_WALL_S = 1.8e9
_ROWS = "document.querySelectorAll('#tasks tbody tr').length"
_CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert _PROGRAM is not None
    with a_browser(_PROGRAM, tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    chromium.complaints.clear()
    yield chromium
    chromium.close_tabs()
    # that the server went away at the end of a test is no fault of the page
    assert [each for each in chromium.complaints if "net::ERR" not in each] == []


@contextmanager
def _served(
    feed: Feed, robot: FakeRobot | None = None, token: str = "", port: int = 0
) -> Iterator[str]:
    server = Server(feed, robot or FakeRobot(), Settings(port=port, token=token, batch_s=0.1))
    try:
        yield server.url
    finally:
        server.close()


def _feed() -> Feed:
    """Return one that never grows old: a slow browser may need longer than a timeline is."""
    return Feed(wall_s=lambda: _WALL_S, clock_s=lambda: 0.0)


@pytest.fixture
def feed() -> Feed:
    feed = _feed()
    fill(feed, _WALL_S * 1e3)
    return feed


def test_tasks_lanes_arena_engine_and_decisions_are_shown(browser: Browser, feed: Feed) -> None:
    with _served(feed) as url:
        page = Page(browser, url)
        page.until(f"{_ROWS} === 4")
        text = page.until("document.body.innerText")
        for shown in ("text_detector", "260 MiB of 512 MiB", "Test CPU (2 cores)", "4711"):
            assert shown in text
        assert "112 > 100 ms" in text
        assert page.run("document.querySelector('#decisions li .badge').textContent") == "rejected"
        assert page.run("document.querySelector('#change-column').hidden") is True


def test_the_first_start_says_how_far_it_is(browser: Browser) -> None:
    feed = _feed()
    progress = "3 of 6: measuring text_detector, 40%"
    feed.put_status(a_status(state="configuring", progress=progress))
    with _served(feed) as url:
        page = Page(browser, url)
        page.until(f"document.querySelector('#state').textContent === 'configuring: {progress}'")


def test_tasks_that_were_not_admitted_are_shown_until_that_is_settled(browser: Browser) -> None:
    feed = _feed()
    gone = RejectedView("map", "from the configuration file", "model: no such file <b>here</b>.")
    feed.put_status(a_status((a_task(),), rejected=(gone,)))
    with _served(feed) as url:
        page = Page(browser, url)
        page.until(f"{_ROWS} === 1")
        shown = page.run("document.querySelector('#rejected').innerText")
        assert shown == (
            "map was not admitted: model: no such file <b>here</b>. (from the configuration file)"
        )
        assert page.run(_CONTRAST) == ""
        feed.put_status(a_status((a_task(),)))
        page.until("document.querySelector('#rejected').hidden")


def test_language_models_are_shown_with_throughput_arena_and_decisions(browser: Browser) -> None:
    feed = _feed()
    held = {"arena_bytes": 2 * 2**30, "arena_used_bytes": 460 * 2**20}
    feed.put_status(a_status((a_task(),), generators=(a_generator(),), **held))
    with _served(feed) as url:
        page = Page(browser, url)
        page.until("!document.querySelector('#generators-panel').hidden")
        shown = page.run("document.querySelector('#generators').innerText")
        for words in (
            "51.5 tokens/s of about 60.0 · 4,321 in all",
            "Gave up for the tasks beside it: prefill 32.",
            "up to 4 at once · 1,024 tokens each · chunks of 32 · int8",
            "2 running, 3 waiting · step 19.3 ms at 640 tokens · cache 180 MiB of 360 MiB",
            "arena 300 MiB, at most 410 MiB",
            "lane busy 83 % · out of memory: 1",
            "2 changes, the last one: assistant gives up to 4 answers at once instead of 2: "
            "there is <b>room</b>.",
        ):
            assert words in shown, shown
        assert page.run(_CONTRAST) == ""
        legend = page.run("document.querySelector('#arena-legend').innerText")
        assert "assistant (KV cache) 360 MiB" in legend
        assert "shared, and weights of language models 52 MiB" in legend
        assert page.run("document.querySelectorAll('#arena i').length") == 3
        why = "assistant needs 3.2 GiB for its cache."
        refused = a_generator(state="refused", problem=why, lane="")
        gone = RejectedView("assistant", "from the configuration file", why)
        feed.put_status(a_status(generators=(refused,), rejected=(gone,)))
        page.until("document.querySelector('#generators').innerText.includes('refused: assistant')")
        shown = page.run("document.querySelector('#generators').innerText")
        assert "tokens/s" not in shown and "lane" not in shown
        assert page.run("document.querySelector('#rejected').hidden"), "it is said once"
        assert page.run(_CONTRAST) == ""
        feed.put_status(a_status((a_task(),)))
        page.until("document.querySelector('#generators-panel').hidden")


def test_a_lane_that_a_language_model_fills_is_not_marked(browser: Browser) -> None:
    feed = _feed()
    (main, side) = a_status().lanes
    full = replace(main, utilization_measured=0.99)
    feed.put_status(a_status((a_task(),), lanes=(full, side)))
    marked = "document.querySelector('#lanes .bar i')?.style.background.includes('warn')"
    with _served(feed) as url:
        page = Page(browser, url)
        page.until(marked)
        feed.put_status(a_status((a_task(),), lanes=(full, side), generators=(a_generator(),)))
        page.until(f"!{marked}")


def test_what_a_task_does_without_is_reported_and_best_effort_is_never_late(
    browser: Browser,
) -> None:
    feed = _feed()
    feed.put_status(
        a_status(
            (
                a_task("thinned", criticality="low", decimation=2, decimated=1204, early_exits=1),
                a_task("slack", criticality="best_effort", missed=9, response_max_ms=400.0),
            )
        )
    )
    feed.put_job(a_job("slack", 1, _WALL_S * 1e3, late_ms=50.0))
    with _served(feed) as url:
        page = Page(browser, url)
        page.until(f"{_ROWS} === 2")
        rows = page.run("[...document.querySelectorAll('#tasks tbody tr')].map((e) => e.innerText)")
        assert "low · every 2nd frame · 1,204 left out · 1 early exit" in rows[0]
        assert "10.0 of 5.0" in rows[0]
        assert "in the slack, no deadline promised" in rows[1]
        assert page.run("document.querySelectorAll('#tasks tbody .bad').length") == 0
        assert page.run("document.querySelector('#figures [data-level=bad]')") is None
        labels = "document.querySelector('#timeline').getAttribute('aria-label') ?? ''"
        page.until(f"({labels}).includes('1 jobs done, 0 late')")


def test_the_timeline_moves_at_a_hundred_jobs_a_second(browser: Browser) -> None:
    ended = threading.Event()
    feed = Feed(clock_s=lambda: 0.0)
    fill(feed, time.time() * 1e3)

    def run() -> None:
        number = 10_000
        while not ended.wait(0.01):
            number += 1
            feed.put_job(a_job("obstacles", number, time.time() * 1e3))

    robot = threading.Thread(target=run)
    with _served(feed) as url:
        robot.start()
        try:
            page = Page(browser, url)
            page.until(f"{_ROWS} === 4")
            seen = "document.querySelector('#timeline').toDataURL()"
            first = page.run(seen)
            page.until(f"{seen} !== {first!r}")
            # what the page holds stays bounded by time, and the browser keeps up
            page.until("document.querySelector('#link').textContent === 'live'")
        finally:
            ended.set()
            robot.join()


def test_a_job_can_be_read_with_the_keyboard_and_the_picture_stopped(
    browser: Browser, feed: Feed
) -> None:
    with _served(feed) as url:
        page = Page(browser, url)
        page.until(f"{_ROWS} === 4")
        page.run("document.querySelector('#window').value = '60'")
        page.run("document.querySelector('#window').dispatchEvent(new Event('change'))")
        page.run("document.querySelector('#timeline').focus()")
        page.press(" ")
        page.until("document.querySelector('#pause').getAttribute('aria-pressed') === 'true'")
        page.press("ArrowLeft")
        first = page.until("document.querySelector('#readout').textContent")
        assert first.startswith("face_detector job ")
        page.press("ArrowDown")
        page.until("document.querySelector('#readout').textContent.startsWith('obstacles job ')")


def test_a_question_is_answered_and_what_would_pass_is_tried(browser: Browser, feed: Feed) -> None:
    robot = FakeRobot()
    with _served(feed, robot) as url:
        page = Page(browser, url)
        page.until("document.querySelector('#q-name').value === 'face_detector_2'")
        page.run("document.querySelector('#ask').click()")
        page.until("document.querySelector('.verdict')?.textContent.includes('rejected')")
        assert page.run("document.querySelectorAll('#answer svg').length") == 4
        page.run("document.querySelector('#answer .would button').click()")
        page.until("document.querySelector('.verdict').textContent.includes('admitted')")
        assert robot.questions[-1].period_ms == 140.0
        page.run("document.querySelector('#q-name').value = 'Not a name'")
        page.run("document.querySelector('#ask').click()")
        page.until("document.querySelector('#whatif-note').textContent.startsWith('Name:')")
        assert page.run("document.activeElement.id") == "q-name"
        assert len(robot.questions) == 2


def test_a_decision_that_is_heard_late_goes_where_it_belongs(browser: Browser) -> None:
    feed = _feed()
    for number, stamp_ms in ((3, 3e3), (1, 1e3), (2, 2e3)):
        feed.put_decision(a_decision(number, task=f"task{number}", stamp_ms=stamp_ms))
    with _served(feed) as url:
        page = Page(browser, url)
        page.until("document.querySelectorAll('#decisions > li').length === 3")
        shown = page.run(
            "[...document.querySelectorAll('#decisions strong')].map((e) => e.innerText)"
        )
        assert shown == ["task3", "task2", "task1"]


def test_a_task_is_stopped_with_the_token_and_not_without(browser: Browser, feed: Feed) -> None:
    robot = FakeRobot()
    stop = "document.querySelector('#tasks tbody button').click()"
    with _served(feed, robot, token=_TOKEN) as url:
        page = Page(browser, url)
        page.until(f"{_ROWS} === 4")
        page.run(stop)
        page.until("document.querySelector('#token-dialog').open")
        assert robot.wishes == []
        page.run(f"document.querySelector('#token-input').value = '{_TOKEN}'")
        page.run("document.querySelector('#token-dialog button[value=use]').click()")
        page.until("document.querySelector('#token').textContent === 'Change token'")
        page.run(stop)
        page.until("document.querySelector('#tasks-note').textContent.includes('stopped')")
        assert robot.wishes == [("face_detector", False)]


def test_nothing_a_robot_says_becomes_part_of_the_page(browser: Browser) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    feed = _feed()
    task = replace(a_task(), name=evil, lane=evil, criticality=evil, state=evil, wcet_source=evil)
    feed.put_status(a_status((task,), device=evil, backend=evil, state=evil))
    feed.put_decision(replace(a_decision(), task=evil, sentence=evil, rule=evil, relation=evil))
    with _served(feed) as url:
        page = Page(browser, url)
        page.until(f"{_ROWS} === 1")
        page.until("document.querySelector('#decisions li')")
        assert page.run("document.querySelectorAll('img[src=x], body script').length") == 0
        assert page.run("document.title") == "/orchestrator · aegis_ros"


def test_a_silent_topic_is_reported(browser: Browser) -> None:
    now_s = [0.0]
    feed = Feed(clock_s=lambda: now_s[0])
    fill(feed, time.time() * 1e3)
    with _served(feed) as url:
        page = Page(browser, url)
        page.until(f"{_ROWS} === 4")
        assert page.run("document.querySelector('#banner').hidden") is True
        now_s[0] = 30.0
        page.until("document.querySelector('#banner').textContent.includes('No status for 3')")
    page.until("document.querySelector('#link').textContent === 'no connection'")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desktop", "phone"])
def test_every_text_can_be_read_and_nothing_is_wider_than_the_screen(
    browser: Browser, feed: Feed, size: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    with _served(feed) as url:
        page = Page(browser, url, size, dark=dark, calm=True)
        page.until(f"{_ROWS} === 4")
        page.run("document.querySelector('#ask').click()")
        page.until("document.querySelector('.verdict')")
        assert page.run("document.documentElement.dataset.theme") == ("dark" if dark else "light")
        assert page.run("document.documentElement.scrollWidth") == size[0]
        assert page.run(_CONTRAST) == ""
        page.picture(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000


def test_landmarks_labels_and_headings_are_there_for_a_screen_reader(
    browser: Browser, feed: Feed
) -> None:
    with _served(feed) as url:
        page = Page(browser, url)
        page.until(f"{_ROWS} === 4")
        for landmark in ("header", "main", "footer", "h1"):
            assert page.run(f"document.querySelectorAll('body {landmark}:not(section *)').length")
        unlabelled = page.run(
            "[...document.querySelectorAll('input, select, canvas, [role=img], button, section')]"
            ".filter((each) => !each.labels?.length && !each.ariaLabel && !each.textContent.trim()"
            " && !each.getAttribute('aria-labelledby')).map((each) => each.outerHTML).join()"
        )
        assert unlabelled == ""
        levels = page.run("[...document.querySelectorAll('h1,h2,h3')].map((h) => h.tagName).join()")
        assert levels.startswith("H1,H2")
        assert page.run(
            "new Set([...document.querySelectorAll('[id]')].map((n) => n.id)).size"
        ) == (page.run("document.querySelectorAll('[id]').length"))
