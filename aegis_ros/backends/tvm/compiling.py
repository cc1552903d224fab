"""From an ONNX file to machine code: Relax, its passes, LLVM."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from aegis_ros.backends.divisors import without_zeros
from aegis_ros.backends.indices import within_bounds
from aegis_ros.backends.tvm.channels import resized_by_channels
from aegis_ros.backends.tvm.library import Signature, write_library
from aegis_ros.backends.tvm.refusals import extents_decided, of_extents
from aegis_ros.backends.tvm.schedules import Tile, in_blocks
from aegis_ros.backends.tvm.sums import begun
from aegis_ros.backends.tvm.toolkit import load_compiler
from aegis_ros.network.feed import NetworkInput

__all__ = [
    "Behind",
    "Read",
    "compile_part",
    "kernels_of",
    "processor_target",
    "read_network",
]

_FUNCTION = "main"
_BOUND = "tir_var_upper_bound"


@dataclass(frozen=True, slots=True)
class Behind:
    """A library that was compiled elsewhere, and runs on what a part makes.

    Attributes:
        path: of its file.
        function: of it that is called.
        makes: names of the tensors that it makes, in order.
    """

    path: Path
    function: str
    makes: tuple[str, ...]


def compile_part(
    source: Path,
    target: Path,
    inputs: Sequence[NetworkInput],
    behind: Behind | None = None,
    *,
    choices: Mapping[str, Tile] | None = None,
) -> list[str]:
    """Compile one part of a network for this machine's processor.

    Args:
        source: the ONNX file.
        target: file that the machine code is written to.
        inputs: of the whole network; how large its frames can be.
        behind: what runs behind it, in the same segment.
        choices: how kernels were found to be computed fastest, by
            :func:`~aegis_ros.backends.tvm.schedules.kernel_id`.

    Returns:
        Names of the outputs whose extents are known only after a run.

    Raises:
        ModelError: TVM cannot compile such an operator.
    """
    tvm = load_compiler()
    network = read_network(source)
    module, takes, makes = network.module, network.takes, network.makes
    bounds = _bounds(inputs)
    function = _with_bounds(module[_FUNCTION], bounds)
    module[_FUNCTION] = function
    dynamic = _dynamic(function, makes)
    pooled = not dynamic and _all_bounded(function, bounds)
    made = _compiled(module, choices or {})
    if behind is None:
        _write(tvm, made.mod, target, Signature(takes, makes, pooled=pooled))
        return dynamic
    signature = Signature(takes, behind.makes, pooled=pooled, behind=behind.function)
    _write(tvm, made.mod, target, signature, code=behind.path)
    return []


@dataclass(frozen=True, slots=True)
class Read:
    """A part of a network as TVM has read it.

    Attributes:
        module: its operators.
        takes, makes: names of the tensors that it takes and makes, in order.
    """

    module: Any
    takes: tuple[str, ...]
    makes: tuple[str, ...]


def read_network(source: Path) -> Read:
    """Return what TVM reads in an ONNX file, with what it does not look at kept within bounds.

    Raises:
        ModelError: it has no such operator.
    """
    load_compiler()
    from tvm.relax.frontend.onnx import from_onnx

    model = within_bounds(resized_by_channels(onnx.load_model(str(source))), "TVM")
    model = without_zeros(model)
    constants = {item.name for item in model.graph.initializer}
    takes = tuple(item.name for item in model.graph.input if item.name not in constants)
    makes = tuple(item.name for item in model.graph.output)
    try:
        return Read(from_onnx(model, keep_params_in_input=False), takes, makes)
    except Exception as error:  # its exceptions have no common type
        if of_extents(error):
            raise extents_decided() from error
        raise


def processor_target() -> Any:
    """Return what TVM compiles for: this machine's processor, one core of it."""
    tvm = load_compiler()
    name = tvm.get_global_func("tvm.codegen.llvm.GetHostCPUName")()
    return tvm.target.Target({"kind": "llvm", "mcpu": name, "num-cores": 1})


def kernels_of(module: Any) -> Any:
    """Return a network's operators as kernels: fused, with loops as TVM writes them."""
    tvm = load_compiler()
    from tvm import relax
    from tvm.relax.backend.cpu_generic import pipeline as generic

    cpu = processor_target()
    passes = tvm.transform.Sequential(
        [
            relax.transform.DecomposeOpsForInference(),
            *generic.library_dispatch_passes(cpu),
            *generic.legalize_passes(cpu),
        ]
    )
    return begun(passes(module))


def _compiled(module: Any, choices: Mapping[str, Tile]) -> Any:
    """Return a network as calls of machine code, with memory planned."""
    tvm = load_compiler()
    from tvm.relax.backend.cpu_generic import pipeline as generic

    cpu = processor_target()
    rest = tvm.transform.Sequential(
        [*generic.dataflow_lower_passes(cpu), *generic.finalize_passes(cpu)]
    )
    kernels = kernels_of(module)
    try:
        return tvm.compile(in_blocks(kernels, choices), cpu, relax_pipeline=rest)
    except Exception:  # its exceptions have no common type; what TVM writes itself is slower
        return tvm.compile(kernels, cpu, relax_pipeline=rest)


def _bounds(inputs: Sequence[NetworkInput]) -> dict[str, int]:
    """Return, by name of an extent that each frame decides, the largest."""
    return {
        declared: largest
        for item in inputs
        for declared, largest in zip(item.tensor.shape, item.max_shape, strict=True)
        if isinstance(declared, str)
    }


def _with_bounds(function: Any, bounds: Mapping[str, int]) -> Any:
    """Return a function with the largest extents told, for which memory is then planned."""
    return function.with_attr(_BOUND, dict(bounds)) if bounds else function


def _dynamic(function: Any, names: Sequence[str]) -> list[str]:
    """Return the names of outputs whose extents are not all known."""
    made = function.ret_ty
    types = list(made.fields) if hasattr(made, "fields") else [made]
    return [name for name, each in zip(names, types, strict=True) if not _static(each)]


def _static(kind: Any) -> bool:
    shape = getattr(kind, "shape", None)
    return shape is not None and all(hasattr(extent, "value") for extent in shape.values)


def _all_bounded(function: Any, bounds: Mapping[str, int]) -> bool:
    """Return whether the largest size of every tensor in a function is known."""
    from tvm import relax
    from tvm.ir import PrimType

    unknown: list[str] = []

    def visit(expression: Any) -> None:
        if not isinstance(expression, relax.Var):
            return
        if isinstance(expression.ty, PrimType):
            unknown.extend({expression.name} - bounds.keys())
        elif _without_extents(expression.ty):
            unknown.append(expression.name)

    relax.analysis.post_order_visit(function, visit)
    return not unknown


def _without_extents(kind: Any) -> bool:
    return hasattr(kind, "shape") and kind.shape is None  # a shape itself has extents of its own


def _write(
    tvm: Any, executable: Any, target: Path, signature: Signature, *, code: Path | None = None
) -> None:
    """Write what was compiled: the machine code, and an object file with everything else."""
    objects = {}
    modules = executable._collect_dso_modules()
    for number, module in enumerate(modules):
        objects[f"code{number}.o"] = target.with_suffix(f".code{number}.o")
        module.write_to_file(str(objects[f"code{number}.o"]))
    machine = modules[0].get_function("_get_target_string")() if modules else _plain_target(tvm)
    pack = tvm.get_global_func("runtime.ModulePackImportsToLLVM")
    objects["data.o"] = target.with_suffix(".data.o")
    pack(executable, False, machine, "").write_to_file(str(objects["data.o"]))
    write_library(target, signature, objects, code)
    for file in objects.values():
        file.unlink()


def _plain_target(tvm: Any) -> str:
    return json.dumps({"kind": "llvm", "mtriple": tvm.target.Target("llvm").attrs["mtriple"]})
