"""What tests of networks share: a network is prepared here where no child matters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytest

from aegis_ros.network import preparing


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process do what is a child's: of that, ``test_prepare`` and others have enough."""

    def answer(module: str, request: Mapping[str, Any], **how: Any) -> Any:
        return json.loads(json.dumps(import_module(module).answer(json.loads(json.dumps(request)))))

    monkeypatch.setattr(preparing, "run_child", answer)
