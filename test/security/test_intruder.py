"""Who has no keys, other keys or other permissions is kept out, by the policy that we ship.

The nodes themselves cannot run under DDS Security here: ROS's wheels are built without it. What
they would be given, the permissions of the policy by the names that ROS gives topics, is tried
with participants of Debian's Fast DDS, whose security is that of ROS's apt packages.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree

import pytest

from test.security.dds import Dds, build
from test.security.keystore import Keystore

_POLICY = (Path(__file__).resolve().parents[2] / "config" / "demo_policy.xml").read_text()
_STATUS = "rt/orchestrator/status"
_REGISTER = "rq/orchestrator/register_modelRequest"
_IMAGES = "rt/camera/driver/image_raw"
_ENOUGH = 20
_STRANGERS, _FOREIGNERS = 1_000_000, 2_000_000


@pytest.fixture(scope="module")
def dds(tmp_path_factory: pytest.TempPathFactory) -> Dds:
    return build(tmp_path_factory.mktemp("dds"))


@pytest.fixture(scope="module")
def ours(dds: Dds, tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    return Keystore(tmp_path_factory.mktemp("ours") / "keystore", _POLICY, dds.domain)


@pytest.fixture(scope="module")
def theirs(dds: Dds, tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    """The same enclaves, signed by somebody else."""
    return Keystore(tmp_path_factory.mktemp("theirs") / "keystore", _POLICY, dds.domain)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("topic", "sender", "receiver"),
    [
        (_STATUS, "/aegis/orchestrator", "/aegis/monitor"),
        (_REGISTER, "/aegis/operator", "/aegis/orchestrator"),
        (_IMAGES, "/aegis/replay", "/aegis/orchestrator"),
    ],
    ids=["status", "registration", "images"],
)
def test_each_hears_only_those_whom_the_same_authority_has_signed(
    dds: Dds,
    ours: Keystore,
    theirs: Keystore,
    opened: ExitStack,
    topic: str,
    sender: str,
    receiver: str,
) -> None:
    # Three pairs on one topic at the same time: each says other numbers.
    pairs = {
        1: (ours.enclave(sender), ours.enclave(receiver)),
        _STRANGERS: (None, None),
        _FOREIGNERS: (theirs.enclave(sender), theirs.enclave(receiver)),
    }
    listeners = {}
    for first, (says, hears) in pairs.items():
        listeners[first] = opened.enter_context(dds.hears(topic, hears))
        opened.enter_context(dds.says(topic, first, says))
    for listener in listeners.values():
        listener.wait_heard(_ENOUGH)
    for first, listener in listeners.items():
        assert {number // _STRANGERS for number in listener.heard()} == {first // _STRANGERS}


@pytest.mark.parametrize(
    ("enclave", "role", "topic"),
    [
        ("monitor", "say", _STATUS),
        ("monitor", "say", _REGISTER),
        ("monitor", "hear", _IMAGES),
        ("dashboard", "say", _REGISTER),
        ("dashboard", "hear", _IMAGES),
        ("replay", "hear", _STATUS),
        ("replay", "say", "rt/perception/faces"),
        ("orchestrator", "say", _IMAGES),
        ("orchestrator", "hear", "rt/camera/cabin/image_raw"),
        ("operator", "say", "rt/perception/faces"),
        ("operator", "say", "rt/cmd_vel"),
        ("operator", "say", "rr/orchestrator/register_modelReply"),
        ("operator", "hear", _REGISTER),
        ("orchestrator", "say", _REGISTER),
    ],
)
def test_what_the_policy_does_not_name_is_refused(
    dds: Dds, ours: Keystore, opened: ExitStack, enclave: str, role: str, topic: str
) -> None:
    folder = ours.enclave(f"/aegis/{enclave}")
    assert _began(dds, opened, role, topic, folder) == "no endpoint"


@pytest.mark.parametrize(
    ("enclave", "role", "topic"),
    [
        ("orchestrator", "hear", _REGISTER),
        ("orchestrator", "say", "rr/orchestrator/register_modelReply"),
        ("orchestrator", "say", "rt/perception/faces/annotated"),
        ("orchestrator", "say", "ros_discovery_info"),
        ("dashboard", "say", "rq/orchestrator/set_task_enabledRequest"),
        ("operator", "hear", "rt/orchestrator/profile_model/_action/feedback"),
        ("operator", "say", "rr/_ros2cli_4711/get_type_descriptionReply"),
    ],
)
def test_what_the_policy_names_is_allowed(
    dds: Dds, ours: Keystore, opened: ExitStack, enclave: str, role: str, topic: str
) -> None:
    folder = ours.enclave(f"/aegis/{enclave}")
    assert _began(dds, opened, role, topic, folder) == "ready"


def test_permissions_deny_what_they_do_not_name(ours: Keystore) -> None:
    """Debian's Fast DDS does so whatever stands there; others go by it."""
    (found,) = ElementTree.parse(ours.enclave("/aegis/monitor") / "permissions.xml").iter("default")
    assert found.text == "DENY"


def test_keys_that_were_tampered_with_are_refused(
    dds: Dds, ours: Keystore, theirs: Keystore, opened: ExitStack, tmp_path: Path
) -> None:
    def tampered(name: str, file: str, content: bytes) -> Path:
        folder = tmp_path / name
        shutil.copytree(ours.enclave("/aegis/monitor"), folder)
        (folder / file).unlink()
        (folder / file).write_bytes(content)
        return folder

    monitor, operator = ours.enclave("/aegis/monitor"), ours.enclave("/aegis/operator")
    signed = (monitor / "permissions.p7s").read_bytes()
    governance = (monitor / "governance.p7s").read_bytes()
    foreign = (theirs.enclave("/aegis/monitor") / "cert.pem").read_bytes()
    every = {
        "edited": ("permissions.p7s", signed.replace(b"/status", b"/secret")),
        "borrowed": ("permissions.p7s", (operator / "permissions.p7s").read_bytes()),
        "opened": ("governance.p7s", governance.replace(b"ENCRYPT", b"NONE")),
        "foreign": ("cert.pem", foreign),
    }
    assert _began(dds, opened, "hear", _STATUS, monitor) == "ready"
    for name, (file, content) in every.items():
        folder = tampered(name, file, content)
        assert _began(dds, opened, "hear", _STATUS, folder) == "no participant", name


def test_keys_hold_in_their_own_domain_only(dds: Dds, opened: ExitStack, tmp_path: Path) -> None:
    keys = Keystore(tmp_path / "keystore", _POLICY, dds.domain + 1)
    folder = keys.enclave("/aegis/monitor")
    assert _began(dds, opened, "hear", _STATUS, folder) == "no endpoint"


def _began(dds: Dds, opened: ExitStack, role: str, topic: str, enclave: Path) -> str:
    if role == "say":
        return opened.enter_context(dds.says(topic, 1, enclave)).began()
    return opened.enter_context(dds.hears(topic, enclave)).began()
