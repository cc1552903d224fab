"""TVM as it is installed, with one sentence for what is missing."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from aegis_ros.errors import BackendError

__all__ = ["installed_version", "load_compiler", "load_linker", "load_runtime"]

_MODULE = "tvm"
_LINKER = "tvm_ffi_orcjit"
_RUNTIME_ONLY = "TVM_USE_RUNTIME_LIB"
# A lane has one core and a thread of its own, on which everything runs. Read by TVM when a thread
# first runs something, so these stay as they are set.
_ONE_THREAD = {"TVM_NUM_THREADS": "1", "TVM_BIND_THREADS": "0"}


def installed_version() -> str:
    """Return the version of TVM, without importing it.

    Raises:
        BackendError: it, or what loads its object files, is not installed; one sentence says how to
            get it.
    """
    if find_spec(_MODULE) is None or find_spec(_LINKER) is None:
        raise BackendError(
            "backend tvm needs TVM and its loader of object files, which are not installed: "
            "`pip install 'aegis_ros[tvm]'`, or use another backend"
        )
    from importlib.metadata import version  # what an engine loads only if it has this backend

    return version("apache-tvm")


def load_compiler() -> Any:
    """Return TVM with its compiler, for a child process that builds."""
    os.environ.update(_ONE_THREAD)
    return import_module(_MODULE)


def load_runtime() -> Any:
    """Return TVM; without its compiler, a library of 260 MB, where nothing has imported it before.

    Raises:
        BackendError: it is not installed.
    """
    installed_version()
    os.environ.update(_ONE_THREAD)
    before = os.environ.get(_RUNTIME_ONLY)
    os.environ[_RUNTIME_ONLY] = "1"
    try:
        return import_module(_MODULE)
    finally:
        # A child process inherits what stands here, and may have to compile.
        del os.environ[_RUNTIME_ONLY]
        if before is not None:
            os.environ[_RUNTIME_ONLY] = before


def load_linker() -> Any:
    """Return what loads object files into this process: it takes no linker and no compiler.

    Raises:
        BackendError: it is not installed.
    """
    load_runtime()
    return import_module(_LINKER)
