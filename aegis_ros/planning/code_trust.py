"""Whether a task may bring code that somebody else has compiled, which runs in the engine."""

from __future__ import annotations

from collections.abc import Mapping

from aegis_ros.backends import Backend
from aegis_ros.backends.registry import takers_of_code
from aegis_ros.errors import ModelError
from aegis_ros.network.compiled_code import code_suffix
from aegis_ros.rationale import Rule
from aegis_ros.rationale.rejection import Invalid
from aegis_ros.spec import ModelsSpec

__all__ = ["code_refused", "trusted_suffix"]


def trusted_suffix(uri: str, models: ModelsSpec, backends: Mapping[str, Backend]) -> str:
    """Return the suffix of a model that is compiled code and may be loaded; empty for ONNX files.

    Args:
        uri: of the model.
        models: what may be loaded.
        backends: by name, all that the lanes name.

    Raises:
        ModelError: no lane takes such code, or nobody has allowed it.
    """
    suffix = code_suffix(uri)
    if not suffix:
        return ""
    claimed = {each for backend in backends.values() for each in backend.capabilities.code}
    if suffix not in claimed:
        takers = takers_of_code(suffix)
        if not takers:
            return ""  # whoever opens it says what it should be
        raise ModelError(
            f"no lane takes a network that is compiled code ({suffix})",
            where="model",
            value=uri,
            expected="an ONNX file",
            hint=f"Give one of device.lanes `backend: {' or '.join(takers)}`",
            rule=Rule.MODEL_FILE,
        )
    if not models.allow_code:
        raise ModelError(
            "compiled code is not taken: in the engine it can do whatever the node's user can",
            where="model",
            value=uri,
            expected="an ONNX file, or models.allow_code: true",
            hint="Set models: {allow_code: true} where you trust who can write below models.roots",
            rule=Rule.MODEL_FILE,
        )
    return suffix


def code_refused(task: str, suffix: str, backend: str) -> Invalid:
    """Return why a task with compiled code cannot run on the lanes of a backend."""
    problem = f"model: backend {backend} takes no networks that are compiled code ({suffix})"
    return Invalid(task, Rule.MODEL_FILE, problem)
