"""The tools of SROS2 take the policy that we ship, and make of it what our other tests try."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("sros2.keystore", reason="`ros2 security`: apt-get install ros-jazzy-sros2")

from sros2.keystore import create_enclave, create_keystore, create_permission
from sros2.policy import load_policy

from test.security.dds import build
from test.security.keystore import Keystore, permissions

_POLICY = Path(__file__).resolve().parents[2] / "config" / "demo_policy.xml"
_DOMAIN = 7


@pytest.fixture
def keystore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `ros2 security generate_artifacts` makes."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(_DOMAIN))
    folder = tmp_path / "keystore"
    create_keystore(folder)
    for path in permissions(_POLICY.read_text()):
        create_enclave(folder, path)
        create_permission(folder, path, _POLICY)
    return folder


def test_the_policy_is_valid() -> None:
    load_policy(_POLICY)


def test_its_permissions_are_those_that_are_tried(keystore: Path) -> None:
    for path, (publish, subscribe) in permissions(_POLICY.read_text()).items():
        file = keystore / "enclaves" / path.lstrip("/") / "permissions.xml"
        (grant,) = ElementTree.parse(file).iter("grant")
        assert grant.findtext("subject_name") == f"CN={path}"
        assert grant.findtext("default") == "DENY"
        assert {each.text for each in grant.iter("id")} == {str(_DOMAIN)}
        assert _topics(grant, "publish") == publish
        assert _topics(grant, "subscribe") == subscribe


def test_its_governance_is_the_one_that_is_tried(keystore: Path, tmp_path: Path) -> None:
    Keystore(tmp_path / "ours", _POLICY.read_text(), _DOMAIN)
    made, tried = (
        {(each.tag, (each.text or "").strip()) for each in ElementTree.parse(file).iter()}
        for file in (keystore / "enclaves" / "governance.xml", tmp_path / "ours" / "governance.xml")
    )
    assert made == tried


def test_its_keys_let_a_participant_in(keystore: Path, tmp_path: Path) -> None:
    dds = build(tmp_path)
    dds.domain = _DOMAIN
    enclave = keystore / "enclaves" / "aegis" / "monitor"
    with dds.hears("rt/orchestrator/status", enclave) as monitor:
        assert monitor.began() == "ready"
    with dds.hears("rt/perception/faces", enclave) as monitor:
        assert monitor.began() == "no endpoint"


def _topics(grant: ElementTree.Element, use: str) -> set[str | None]:
    return {each.text for each in grant.iterfind(f"allow_rule/{use}/topics/topic")}
