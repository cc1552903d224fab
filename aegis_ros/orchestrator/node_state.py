"""What a node keeps from the choice of its lanes to its end: decisions, and where profiles are."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.orchestrator.node_folder import DEFAULT_NODE
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.state_folder import StateFolder
from aegis_ros.rationale.requests import ProfilesNotKept
from aegis_ros.wcet import ProfileStore

__all__ = ["NodeState"]


class NodeState:
    """Profiles, prepared networks and the record of decisions, opened once.

    Whoever chooses the lanes and the orchestrator share one: what was measured for the choice is
    there for the admissions even where nothing can be written, a damaged file is found once, and
    no two decisions have one number.

    Args:
        state_dir: where profiles and prepared networks lie, those of all nodes.
        node: full name of the node; empty for nobody's: a directory that cannot be written is an
            error then.

    Attributes:
        log: of decisions; published by whoever has it at the time.
        problem: why nothing can be kept in ``state_dir``; empty where it can.
        profiles: what was measured.
        cache: folder of prepared networks.

    Raises:
        ProfileError: ``state_dir`` cannot be used.
    """

    def __init__(self, state_dir: Path, node: str = DEFAULT_NODE) -> None:
        """Open or create the files."""
        self.log = RationaleLog()
        self._folder = StateFolder(state_dir) if node else None
        self.problem = "" if self._folder is None else self._folder.problem
        folder = state_dir if self._folder is None else self._folder.path
        self.profiles = ProfileStore(
            folder / "profiles.sqlite",
            (lambda problem: self.log.report(ProfilesNotKept(problem))) if node else None,
        )
        self.cache = folder / "cache"

    def close(self) -> None:
        """Give back what is only in memory; nothing is kept any more."""
        if self._folder is not None:
            self._folder.close()
