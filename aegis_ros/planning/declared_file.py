"""Whether a model's file is the one that was declared."""

from __future__ import annotations

from aegis_ros.errors import ModelError
from aegis_ros.network import ModelFile
from aegis_ros.planning.arena_fit import check_file_fits
from aegis_ros.rationale import Rule
from aegis_ros.spec import GeneratorSpec, OrchestratorSpec, Resident, TaskSpec

__all__ = ["check_declared_file"]


def check_declared_file(
    spec: TaskSpec | GeneratorSpec, file: ModelFile, of: OrchestratorSpec
) -> None:
    """Refuse a file that was not declared, or does not fit.

    Args:
        spec: what the file is for.
        file: its model, opened.
        of: the configuration with the arena, and what must be declared.

    Raises:
        ModelError: its digest is another one, or is missing where it is required.
        Refusal: it is larger than the arena, and all of it is to be in memory.
    """
    if of.models.require_sha256 and not spec.sha256:
        what = "task" if isinstance(spec, TaskSpec) else "generator"
        raise ModelError(
            f"models.require_sha256 is set, and the {what} declares no digest",
            where="sha256",
            expected="the SHA-256 of the file, in hex",
            rule=Rule.MODEL_DIGEST,
            hint=f"sha256sum {file.path} prints it",
        )
    if not isinstance(spec, TaskSpec) or spec.resident is Resident.ALL:
        check_file_fits(spec.name, file.size, of.device.arena_bytes)
    if spec.sha256 and file.digest != spec.sha256:
        raise ModelError(
            "the file is not the one that was declared",
            where="sha256",
            value=file.digest,
            expected=spec.sha256,
            rule=Rule.MODEL_DIGEST,
            hint="Restore the file, or declare its new digest",
        )
