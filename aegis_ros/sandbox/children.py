"""Runs a module of this package in a child process, which may fail without harm to this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from aegis_ros.errors import ModelError
from aegis_ros.rationale import Rule

__all__ = ["child_environment", "run_child"]


def run_child(module: str, request: object, *, timeout_s: float, subject: str) -> dict[str, Any]:
    """Run ``python -m module`` with a JSON request on stdin; return its JSON answer.

    Raises:
        ModelError: the child said no, crashed, or took too long.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=timeout_s,
            env=child_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"preparing the network took longer than {timeout_s:.0f} s",
            where="model",
            value=subject,
            rule=Rule.MODEL_VALID,
            hint="Simplify the network, for example with onnxsim",
        ) from error
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ModelError(
            f"the process that prepares the network ended with code {done.returncode}"
            + (f" ({tail[0][:200]})" if tail else ""),
            where="model",
            value=subject,
            rule=Rule.MODEL_VALID,
            hint="The file is broken, or needs more memory than this machine has",
        )
    answer: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    if "problem" in answer:
        rule = Rule(answer.pop("rule", Rule.MODEL_VALID))
        raise ModelError(**answer, rule=rule)
    return answer


def child_environment() -> dict[str, str]:
    """Return the environment for a child interpreter that finds this very package.

    ROS wheels leave a marker that makes a child skip setting up its library path; the child does
    not need ROS at all.
    """
    environment = dict(os.environ)
    root = str(Path(__file__).resolve().parents[2])
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join([root, *(path for path in paths if path)])
    return environment
