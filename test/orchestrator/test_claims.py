"""A core or a device belongs to one orchestrator of a host, unless both share it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aegis_ros.backends import Capabilities
from aegis_ros.errors import StateError
from aegis_ros.orchestrator import claims as claims_module
from aegis_ros.orchestrator.claims import Claim, Claims, claims_folder, claims_of
from aegis_ros.rationale.requests import NotClaimed
from aegis_ros.sandbox.file_lock import FileLock
from aegis_ros.sandbox.scratch import Scratch
from aegis_ros.spec import DeviceSpec, LaneSpec, Wait
from test.given_back import give_back_at_the_end
from test.orchestrator.house import House

CORE = Claim("core-3", "core 3", "main", "device.lanes[0].cpu")
SHARED = replace(CORE, shared=True)


def claimant(folder: Path, node: str) -> Claims:
    """Return the claims of a node; what they hold is given back with the test."""
    made = Claims(folder, node)
    give_back_at_the_end(made.give_back)
    return made


def test_a_core_of_another_orchestrator_is_refused_with_who_has_it(tmp_path: Path) -> None:
    left = claimant(tmp_path, "/left/orchestrator")
    right = claimant(tmp_path, "/right/orchestrator")
    left.take([CORE])
    left.note({"main": 0.7})
    for claim in (CORE, SHARED):
        with pytest.raises(StateError) as refused:
            right.take([claim])
        assert (
            f"core 3 is in use by /left/orchestrator (process {os.getpid()}, 70% admitted)"
            in str(refused.value)
        )
        assert "shared: true" in refused.value.hint
    left.give_back()
    right.take([CORE])


def test_what_is_refused_leaves_nothing_claimed(tmp_path: Path) -> None:
    left, right = claimant(tmp_path, "/left"), claimant(tmp_path, "/right")
    left.take([CORE])
    free = Claim("core-1", "core 1", "other", "")
    with pytest.raises(StateError):
        right.take([free, CORE])
    claimant(tmp_path, "/third").take([free])


def test_two_that_share_a_core_see_each_other(tmp_path: Path) -> None:
    left, right = claimant(tmp_path, "/left"), claimant(tmp_path, "/right")
    left.take([SHARED])
    assert left.neighbours("main") == ()
    right.take([SHARED])
    right.note({"main": 0.25})
    (other,) = left.neighbours("main")
    assert (other.words, other.node, other.utilization) == ("core 3", "/right", 0.25)
    assert left.neighbours("another lane") == ()
    with pytest.raises(StateError):
        claimant(tmp_path, "/third").take([CORE])


def test_several_lanes_of_one_orchestrator_may_have_one_core(tmp_path: Path) -> None:
    claims = claimant(tmp_path, "/left")
    claims.take([CORE, replace(CORE, lane="second")])
    assert claims.neighbours("main") == ()


def test_what_a_process_leaves_that_was_killed_means_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path;"
        "from aegis_ros.orchestrator.claims import Claim, Claims;"
        "Claims(Path(sys.argv[1]), '/gone').take([Claim('core-3', 'core 3', 'main', '')]);"
        "print('claimed', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"claimed\n"
        here = claimant(tmp_path, "/here")
        with pytest.raises(StateError, match=f"/gone .process {process.pid}"):
            here.take([CORE])
        process.kill()
        process.wait()
        assert list(tmp_path.glob("core-3.*"))
        here.take([CORE])


@pytest.mark.parametrize("notes", ["", "rubbish", "[1]", '{"pid": "x", "utilization": []}'])
def test_notes_that_cannot_be_read_do_not_matter(tmp_path: Path, notes: str) -> None:
    left = claimant(tmp_path, "/left")
    left.take([CORE])
    (path,) = tmp_path.glob("core-3.*")
    path.write_text(notes)
    with pytest.raises(StateError, match="core 3 is in use by"):
        claimant(tmp_path, "/right").take([CORE])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("utilization", 10**400),
        ("utilization", float("inf")),
        ("utilization", -1),
        ("pid", 10**400),
        ("node", "/robot\nFATAL: forged"),
        ("node", "\x1b[2J"),
    ],
)
def test_notes_of_another_user_are_believed_where_they_can_be_true(
    tmp_path: Path, field: str, value: object
) -> None:
    left, right = claimant(tmp_path, "/left"), claimant(tmp_path, "/right")
    left.take([SHARED])
    right.take([SHARED])
    (theirs,) = (path for path in tmp_path.glob("core-3.*") if "/right" in path.read_text())
    theirs.write_text(json.dumps({"node": "/right", "shared": True, field: value}))
    (other,) = left.neighbours("main")
    assert (other.pid, other.utilization, other.shared) == (0, 0.0, True)
    assert other.node == ("another orchestrator" if field == "node" else "/right")
    with pytest.raises(StateError, match=r"is in use by (/right|another orchestrator) \(0% adm"):
        left.give_back()
        claimant(tmp_path, "/third").take([CORE])


def test_what_was_written_by_hand_shares_nothing(tmp_path: Path) -> None:
    left, right = claimant(tmp_path, "/left"), claimant(tmp_path, "/right")
    left.take([SHARED])
    (path,) = tmp_path.glob("core-3.*")
    path.write_text(json.dumps({"node": "/left", "shared": "true"}))
    with pytest.raises(StateError, match="core 3 is in use by /left"):
        right.take([SHARED])


def test_all_users_of_a_host_look_into_one_folder_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AEGIS_CLAIMS_DIR", "/srv/claims")
    assert claims_folder() == Path("/srv/claims")
    monkeypatch.delenv("AEGIS_CLAIMS_DIR")
    assert claims_folder() == Path("/dev/shm/aegis_ros_claims")


def test_a_folder_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    folder.mkdir(0o750)
    claimant(folder, "/left").take([CORE])
    assert folder.stat().st_mode & 0o7777 == 0o750


def test_whoever_holds_the_common_lock_for_ever_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any user of the host may take it."""
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire({})
    hours = itertools.count()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) < 10, "it waits for ever"

    clock = SimpleNamespace(monotonic=lambda: 3600.0 * next(hours), sleep=sleep)
    monkeypatch.setattr(claims_module, "time", clock)
    claimant(tmp_path, "/left").take([CORE])
    with pytest.raises(StateError, match="core 3 is in use by /left"):
        claimant(tmp_path, "/right").take([CORE])
    lock.release()


def test_two_that_start_together_do_not_look_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire({})
    looked: list[bool] = []

    def sleep(seconds: float) -> None:
        looked.append(bool(list(tmp_path.glob("core-3.*"))))
        lock.release()  # who came first has its claims now

    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=sleep)
    monkeypatch.setattr(claims_module, "time", clock)
    claimant(tmp_path, "/left").take([CORE])
    assert looked == [False]
    assert lock.acquire({})  # and it is given back
    lock.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_claim_of_another_user_counts_and_stays(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from pathlib import Path;"
        "from aegis_ros.orchestrator.claims import Claim, Claims;"
        "os.setgid(65534); os.setuid(65534); os.umask(0o077);"
        "Claims(Path(sys.argv[1]), '/theirs').take([Claim('core-3', 'core 3', 'main', '')]);"
        "print('claimed', flush=True); time.sleep(600)"
    )
    with Scratch() as folder:  # pytest's own folders are closed to others
        folder.chmod(0o1777)
        with subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None and process.stdout.readline() == b"claimed\n"
            ours = claimant(folder, "/ours")
            with pytest.raises(StateError, match=rf"use by /theirs \(process {process.pid}, "):
                ours.take([CORE])
            ours.take([replace(CORE, key="core-4")])  # the common lock is the other user's file
            process.kill()
            process.wait()
        ours.take([CORE])


def test_what_another_user_does_not_let_go_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with the sticky bit, its owner alone removes what a process left."""
    (tmp_path / "core-3.1-0").write_text("")
    unlink = Path.unlink

    def refused(self: Path, *more: Any) -> None:
        if self.name == "core-3.1-0":
            raise PermissionError(self)
        unlink(self, *more)

    monkeypatch.setattr(Path, "unlink", refused)
    claims = claimant(tmp_path, "/left")
    claims.take([CORE])
    claims.give_back()
    assert (tmp_path / "core-3.1-0").exists()


def test_others_may_claim_and_nobody_removes_what_is_anothers(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    claimant(folder, "/left").take([CORE])
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert all(path.stat().st_mode & 0o777 == 0o666 for path in folder.iterdir())


def test_pinned_cores_and_devices_are_claimed_and_nothing_else() -> None:
    cores: Any = SimpleNamespace(capabilities=Capabilities(on_cores=True))
    gpu: Any = SimpleNamespace(capabilities=Capabilities(), device_id=lambda: "gpu-GPU-1/2")
    plugin: Any = SimpleNamespace(capabilities=Capabilities())
    lanes = (
        LaneSpec("pinned", 1, backend="cores"),
        LaneSpec("anywhere", None, backend="cores"),
        LaneSpec("shared", 2, backend="cores", shared=True),
        LaneSpec("gpu", 0, backend="gpu"),
        LaneSpec("other", 3, backend="plugin"),
    )
    backends = {"cores": cores, "gpu": gpu, "plugin": plugin}
    found = {each.lane: each for each in claims_of(DeviceSpec(lanes=lanes), backends)}
    assert {lane: each.key for lane, each in found.items()} == {
        "pinned": "core-1",
        "shared": "core-2",
        "gpu": "gpu-GPU-1_2",
    }
    assert [lane for lane, each in found.items() if each.shared] == ["shared"]
    own = (LaneSpec("own", 4, shared=False, backend="cores"), lanes[0])
    shared = DeviceSpec(lanes=own, shared=True)
    assert [each.shared for each in claims_of(shared, backends)] == [False, True]


def test_a_lane_that_spins_claims_its_core_beside_its_device() -> None:
    gpu: Any = SimpleNamespace(capabilities=Capabilities(waits=True), device_id=lambda: "gpu-0")
    lanes = (LaneSpec("alone", 1), LaneSpec("asleep", 2, wait=Wait.SLEEP), LaneSpec("anywhere"))
    device = DeviceSpec("onnxruntime_cuda", lanes, wait=Wait.AUTO)
    found = claims_of(device, {"onnxruntime_cuda": gpu})
    assert [(each.lane, each.key) for each in found] == [
        ("alone", "gpu-0"),
        ("alone", "core-1"),
        ("asleep", "gpu-0"),
        ("anywhere", "gpu-0"),
    ]


def pinned(folder: Path, name: str, *, shared: bool) -> House:
    house = House(folder / name, node=f"/{name}/orchestrator")
    lane = LaneSpec("lane0", 0, shared=shared)
    house.spec = replace(house.spec, device=replace(house.spec.device, lanes=(lane,)))
    house.orchestrator = house._open()
    return house


def test_an_orchestrator_is_not_configured_on_a_core_that_is_taken(tmp_path: Path) -> None:
    left, right = (pinned(tmp_path, name, shared=False) for name in ("left", "right"))
    left.start()
    assert left.orchestrator.register(left.task(wcet_ms=60)).accepted
    with pytest.raises(StateError, match=r"core 0 is in use by /left/orchestrator .* 60% admitted"):
        right.start()
    left.orchestrator.cleanup()
    right.start()
    right.orchestrator.cleanup()


def test_an_admission_on_a_shared_core_names_who_else_is_there(tmp_path: Path) -> None:
    left, right = (pinned(tmp_path, name, shared=True) for name in ("left", "right"))
    left.start()
    assert left.orchestrator.register(left.task(wcet_ms=60)).accepted
    right.start()
    answer = right.orchestrator.register(right.task(wcet_ms=60))
    assert answer.accepted
    assert (
        f"Core 0 is shared with /left/orchestrator (process {os.getpid()}), which has admitted 60% "
        "there: this proof does not count that"
    ) in answer.rationale.sentence
    for each in (left, right):
        each.orchestrator.cleanup()


def test_a_host_without_a_place_for_claims_runs_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AEGIS_CLAIMS_DIR", str(tmp_path / "file" / "claims"))
    house = pinned(tmp_path, "left", shared=False)
    house.start()
    assert any(isinstance(item.reason, NotClaimed) for item in house.reported)
    house.orchestrator.cleanup()
