"""The English of :mod:`aegis_ros.rationale.loading`: what is wrong, and what to do about it."""

from __future__ import annotations

from functools import singledispatch

from aegis_ros.rationale import loading
from aegis_ros.rationale.wording.units import mib, names
from aegis_ros.rationale.wording.words import words_of

__all__ = ["hint"]

_PLUGINS = ("TRT", "trt.plugins", "mmdeploy", "mmcv")
_AGAIN = "Copy the file again, and compare its SHA-256 with the original"
_LOOK = "Export it again, or look at it in Netron"
_FREE = "Free some space, or give state_dir a folder on another disk"
_ANEW = "Register the task again: what is missing is made anew"


@singledispatch
def hint(failure: loading.LoadFailure) -> str:
    """Return what to do about a failure, as a sentence without its full stop; may be empty."""
    return ""


def _at(node: str) -> str:
    return f" at node {node!r}" if node else ""


# -- the file ---------------------------------------------------------------------------------


@words_of(loading.NotOnnx)
def _not_onnx(failure: loading.NotOnnx) -> str:
    if failure.looks_like:
        return f"the file is {failure.looks_like}, not an ONNX network"
    return "the file is not an ONNX network, or is cut short"


@hint.register
def _(failure: loading.NotOnnx) -> str:
    if "PyTorch" in failure.looks_like:
        return "Export the network with torch.onnx.export and name that file"
    return _AGAIN


@words_of(loading.LfsPointer)
def _lfs_pointer(failure: loading.LfsPointer) -> str:
    return (
        "the file only stands for the network: Git LFS has not fetched its "
        f"{failure.size_bytes / 1e6:.1f} MB"
    )


@hint.register
def _(failure: loading.LfsPointer) -> str:
    return "Fetch it in its repository: git lfs install && git lfs pull"


@words_of(loading.FileChanged)
def _file_changed(failure: loading.FileChanged) -> str:
    return "the file changed while it was read"


@hint.register
def _(failure: loading.FileChanged) -> str:
    return "Register the task again once nobody writes to the file"


@words_of(loading.TooLarge)
def _too_large(failure: loading.TooLarge) -> str:
    size, most = (each / 1024**3 for each in (failure.size_bytes, failure.most_bytes))
    return f"the network takes {size:.1f} GiB, and an ONNX file holds at most {most:.0f} GiB"


@hint.register
def _(failure: loading.TooLarge) -> str:
    return "Export it with smaller weights (float16 or quantised), or use a smaller network"


@words_of(loading.WeightsElsewhere)
def _weights_elsewhere(failure: loading.WeightsElsewhere) -> str:
    shown = ", ".join(failure.files[:3]) + (" and others" if len(failure.files) > 3 else "")
    text = f"the weights of {failure.model} lie in other files ({shown})"
    if failure.missing:
        text += f", and {names(failure.missing[:3])} "
        text += "is not beside it" if len(failure.missing) == 1 else "are not beside it"
    return text


@hint.register
def _(failure: loading.WeightsElsewhere) -> str:
    first = "Copy the missing files beside it, and save" if failure.missing else "Save"
    return (
        f'{first} everything in one file: python -c "import onnx; '
        f"onnx.save_model(onnx.load('{failure.model}'), 'whole.onnx')\""
    )


# -- the graph --------------------------------------------------------------------------------


@words_of(loading.OpsetTooNew)
def _opset_too_new(failure: loading.OpsetTooNew) -> str:
    of = "" if failure.domain in ("", "ai.onnx") else f" of {failure.domain}"
    return (
        f"the network uses opset {failure.opset}{of}, and the runtime knows opsets up to "
        f"{failure.most}"
    )


@hint.register
def _(failure: loading.OpsetTooNew) -> str:
    return f"Export it with opset {failure.most} or earlier, or install a newer ONNX Runtime"


@words_of(loading.FormatTooNew)
def _format_too_new(failure: loading.FormatTooNew) -> str:
    return (
        f"the file has version {failure.version} of the ONNX format, and versions up to "
        f"{failure.most} can be read"
    )


@hint.register
def _(failure: loading.FormatTooNew) -> str:
    return "Export it with an earlier version of onnx, or install a newer one here"


@words_of(loading.OperatorMissing)
def _operator_missing(failure: loading.OperatorMissing) -> str:
    if _is_plugin(failure):
        return (
            f"the network uses {failure.operator}, a plug-in of one runtime that other runtimes do "
            "not have"
        )
    of = f" of {failure.domain}" if failure.domain else ""
    return f"the runtime has no operator {failure.operator}{of}"


@hint.register
def _(failure: loading.OperatorMissing) -> str:
    if _is_plugin(failure):
        return (
            "Export the network without it (options such as nms=False, or no end2end); decoders "
            "suppress boxes themselves"
        )
    if failure.domain == "com.microsoft":
        return "Install the ONNX Runtime that the network was optimised with, or export it anew"
    return "Export the network with operators of ONNX only"


def _is_plugin(failure: loading.OperatorMissing) -> bool:
    return failure.operator.endswith("_TRT") or failure.domain in _PLUGINS


@words_of(loading.KernelMissing)
def _kernel_missing(failure: loading.KernelMissing) -> str:
    return (
        f"the runtime has no {failure.operator} (opset {failure.opset}) for the element types that "
        f"it gets{_at(failure.node)}"
    )


@hint.register
def _(failure: loading.KernelMissing) -> str:
    return "Export the network in float32 or float16"


@words_of(loading.TypeRefused)
def _type_refused(failure: loading.TypeRefused) -> str:
    return (
        f"{failure.operator} takes no {failure.dtype}, which {failure.tensor!r} "
        f"is{_at(failure.node)}"
    )


@hint.register
def _(failure: loading.TypeRefused) -> str:
    return "Export the network with a Cast before it, or in float32"


@words_of(loading.TypesDiffer)
def _types_differ(failure: loading.TypesDiffer) -> str:
    return (
        f"{failure.operator} gets {failure.one} and {failure.other}{_at(failure.node)}, where both "
        "must be equal"
    )


@hint.register
def _(failure: loading.TypesDiffer) -> str:
    return "Export the network with a Cast before it"


@words_of(loading.RankUnknown)
def _rank_unknown(failure: loading.RankUnknown) -> str:
    return f"the file does not say how many extents the {failure.role} {failure.tensor!r} has"


@hint.register
def _(failure: loading.RankUnknown) -> str:
    return "Export the network with the shapes of its inputs; extents may be names"


@words_of(loading.GraphInvalid)
def _graph_invalid(failure: loading.GraphInvalid) -> str:
    return f"the network breaks a rule of ONNX ({failure.detail})"


@hint.register
def _(failure: loading.GraphInvalid) -> str:
    return _LOOK


@words_of(loading.OperatorFailed)
def _operator_failed(failure: loading.OperatorFailed) -> str:
    return f"{failure.operator} fails{_at(failure.node)} when it runs: {failure.detail}"


@hint.register(loading.OperatorFailed)
@hint.register(loading.ShapesDoNotFit)
def _(failure: loading.LoadFailure) -> str:
    return "Compare preprocess and the largest frame with what the network takes"


@words_of(loading.ShapesDoNotFit)
def _shapes_do_not_fit(failure: loading.ShapesDoNotFit) -> str:
    return f"shapes do not fit{_at(failure.node)}, {failure.operator}: {failure.detail}"


@words_of(loading.SizeRefused)
def _size_refused(failure: loading.SizeRefused) -> str:
    asked, own = (f"{height} x {width}" for height, width in (failure.asked, failure.own))
    return f"the network's input {failure.tensor!r} takes images of {own}, and not of {asked}"


@hint.register
def _(failure: loading.SizeRefused) -> str:
    return f"Set {failure.where}: {list(failure.own)}, or export the network with free extents"


@words_of(loading.RuntimeRefuses)
def _runtime_refuses(failure: loading.RuntimeRefuses) -> str:
    return f"the runtime refuses the network ({failure.detail})"


@hint.register
def _(failure: loading.RuntimeRefuses) -> str:
    return _LOOK


# -- the machine ------------------------------------------------------------------------------


@words_of(loading.MemoryUsedUp)
def _memory_used_up(failure: loading.MemoryUsedUp) -> str:
    if failure.limit_bytes:
        of = "disk" if failure.of_disk else "memory"
        return f"preparing the network takes more than {mib(failure.limit_bytes)} of {of}"
    return "this machine has not enough memory to prepare the network"


@hint.register
def _(failure: loading.MemoryUsedUp) -> str:
    if failure.limit_bytes:
        return "Use a smaller network or input, or raise device.arena_mib"
    return "Use a smaller network or input, or end what else takes memory"


@words_of(loading.TookTooLong)
def _took_too_long(failure: loading.TookTooLong) -> str:
    return f"preparing the network took longer than {failure.seconds:.0f} s"


@hint.register
def _(failure: loading.TookTooLong) -> str:
    return "Simplify the network, for example with onnxsim"


@words_of(loading.ReadTooLong)
def _read_too_long(failure: loading.ReadTooLong) -> str:
    return f"reading the prompt took longer than {failure.seconds:.0f} s"


@hint.register
def _(failure: loading.ReadTooLong) -> str:
    return "Shorten it, or ask again while the machine does less"


@words_of(loading.Crashed)
def _crashed(failure: loading.Crashed) -> str:
    last = f" ({failure.last_words})" if failure.last_words else ""
    return f"the process that prepares the network ended with {failure.how}{last}"


@hint.register
def _(failure: loading.Crashed) -> str:
    advice = f"{_AGAIN}; if it is whole, simplify the network, for example with onnxsim"
    if failure.limit_bytes:
        advice += f"; or it needs more than {mib(failure.limit_bytes)}: raise device.arena_mib"
    return advice


@words_of(loading.DiskFull)
def _disk_full(failure: loading.DiskFull) -> str:
    return f"the disk is full, and the prepared network does not fit into {failure.folder}"


@hint.register
def _(failure: loading.DiskFull) -> str:
    return _FREE


@words_of(loading.DiskRefuses)
def _disk_refuses(failure: loading.DiskRefuses) -> str:
    return f"the prepared network cannot be kept in {failure.folder} ({failure.detail})"


@hint.register
def _(failure: loading.DiskRefuses) -> str:
    return "Give state_dir a folder that can be written to"


@words_of(loading.FileGone)
def _file_gone(failure: loading.FileGone) -> str:
    return f"a file of the network is gone ({failure.path})"


@hint.register
def _(failure: loading.FileGone) -> str:
    return _ANEW


@words_of(loading.FileDamaged)
def _file_damaged(failure: loading.FileDamaged) -> str:
    return f"a file that was made of the network is damaged ({failure.path})"


@hint.register
def _(failure: loading.FileDamaged) -> str:
    return _ANEW
