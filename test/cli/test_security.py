"""`aegis security policy`: the policy that is printed for a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from test.cli.conftest import Aegis, Write

ROOT = Path(__file__).resolve().parents[2]
_TASK = """
tasks:
  - name: faces
    model: /models/faces.onnx
    input: {topic: image}
    period_ms: 50
    output: {topic: ~/faces}
"""


def test_the_demo_has_the_policy_that_is_shipped(aegis: Aegis) -> None:
    said = aegis("security", "policy", str(ROOT / "config" / "demo.yaml"))
    assert (said.code, said.err) == (0, "")
    renew = "run: aegis security policy config/demo.yaml > config/demo_policy.xml"
    assert said.out == (ROOT / "config" / "demo_policy.xml").read_text(), renew


def test_names_follow_namespace_and_remappings(aegis: Aegis, write: Write) -> None:
    where = ("--namespace", "/robot1", "--name", "brain", "--enclave", "/robot1/aegis")
    rules = ("--remap", "image:=/camera/image", "--remap", "~/faces:=/faces")
    said = aegis("security", "policy", write(_TASK), *where, *rules)
    assert said.code == 0
    assert '<enclave path="/robot1/aegis/orchestrator">' in said.out
    assert '<profile ns="/robot1" node="brain_intake">' in said.out
    for name in ("/camera/image", "/faces", "/faces/mask", "/robot1/brain/status"):
        assert f"<topic>{name}</topic>" in said.out
    assert "/robot1/image" not in said.out and "/brain/faces" not in said.out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--name", "a b"), "name: no name of ROS (got a b)"),
        (("--namespace", "robot1"), "namespace: no name of ROS (got robot1)"),
        (("--enclave", "/a/../b"), "enclave: no name of ROS"),
        (("--remap", "image"), "--remap: no rule (got image); expected FROM:=TO"),
        (("--remap", "a:=<b>"), "remap: no name of ROS (got <b>)"),
    ],
)
def test_an_argument_that_no_node_could_have_is_refused(
    aegis: Aegis, write: Write, arguments: tuple[str, ...], named: str
) -> None:
    said = aegis("security", "policy", write(_TASK), *arguments)
    assert said.code == 2
    assert said.out == ""
    assert named in said.err
