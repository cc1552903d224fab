"""Reads the values and tensors of a GGUF file, each checked; runs in a child process."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import ModelError
from aegis_ros.network.generator.facts import Precision
from aegis_ros.network.generator.gguf_header import require_held
from aegis_ros.network.generator.weights import Blocks, in_blocks

__all__ = ["GgufFile"]

_MAGIC = b"GGUF"
_MOST_TEXT = 1024 * 1024


class GgufFile:
    """A GGUF file.

    Args:
        descriptor: of the open file, which stays open as long as this object is used.

    Raises:
        ModelError: it is not a GGUF file, or a damaged one.
    """

    def __init__(self, descriptor: int) -> None:
        """Read what the file lists; tensors are read when they are asked for."""
        from gguf import GGUFReader

        with open(descriptor, "rb", closefd=False) as file:
            if file.read(4) != _MAGIC:
                raise ModelError("the file is not a GGUF file", where="model")
            require_held(descriptor)
            file.seek(0)
            try:
                # A memory map of an open file; the name in the annotation would be opened anew.
                self._reader: Any = GGUFReader(file)
            except (MemoryError, OSError):
                raise
            except Exception as error:  # of lengths and types that make no sense: of any kind
                raise ModelError(
                    f"the GGUF file is damaged or cut short ({type(error).__name__})",
                    where="model",
                    hint="Copy the file again, and compare its SHA-256 with the original",
                ) from error
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self._used: set[str] = set()

    @property
    def unused(self) -> list[str]:
        """Names of the tensors that nobody asked for."""
        return sorted(self._tensors.keys() - self._used)

    def has(self, tensor: str) -> bool:
        """Return whether there is a tensor of this name."""
        return tensor in self._tensors

    def value(self, key: str) -> Any:
        """Return the value of a key; ``None`` where the file has none.

        Raises:
            ModelError: it cannot be read.
        """
        field = self._reader.fields.get(key)
        if field is None:
            return None
        try:
            return field.contents()
        except UnicodeDecodeError:
            _wrong(key, "text that is not UTF-8", "UTF-8")
        except (ValueError, IndexError, TypeError, KeyError):
            _wrong(key, "a damaged value", "a value as GGUF writes it")

    def text(self, key: str, default: str = "") -> str:
        """Return a text; ``default`` where there is none."""
        found = self.value(key)
        if found is None:
            return default
        if not isinstance(found, str) or len(found) > _MOST_TEXT:
            _wrong(key, _short(found), f"text of at most {_MOST_TEXT} characters")
        return found

    def texts(self, key: str, most: int) -> list[str]:
        """Return a list of texts; an empty one where there is none."""
        found = self.value(key)
        if found is None:
            return []
        if not isinstance(found, list) or len(found) > most:
            _wrong(key, _short(found), f"a list of at most {most:,}")
        if not all(isinstance(each, str) for each in found):
            _wrong(key, _short(found), "a list of texts")
        return found

    def integers(self, key: str, most: int) -> list[int]:
        """Return a list of integers; an empty one where there is none."""
        found = self.value(key)
        if found is None:
            return []
        if not isinstance(found, list) or len(found) > most:
            _wrong(key, _short(found), f"a list of at most {most:,}")
        if not all(isinstance(each, int) for each in found):
            _wrong(key, _short(found), "a list of integers")
        return found

    def reals(self, key: str, most: int) -> list[float]:
        """Return a list of finite numbers; an empty one where there is none."""
        found = self.value(key)
        if found is None:
            return []
        if not isinstance(found, list) or len(found) > most:
            _wrong(key, _short(found), f"a list of at most {most:,}")
        if not all(isinstance(each, int | float) and math.isfinite(each) for each in found):
            _wrong(key, _short(found), "a list of finite numbers")
        return [float(each) for each in found]

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return an integer from ``low`` to ``high``; where it is missing, ``default``."""
        found = self.value(key)
        if found is None and default is not None:
            return default
        if not isinstance(found, int) or isinstance(found, bool) or not low <= found <= high:
            _wrong(key, _short(found), f"an integer from {low:,} to {high:,}")
        return found

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number above 0; where it is missing, ``default``."""
        found = self.value(key)
        if found is None and default is not None:
            return default
        if not isinstance(found, int | float) or not math.isfinite(found) or found <= 0:
            _wrong(key, _short(found), "a number above 0")
        return float(found)

    def rows(self, name: str) -> int:
        """Return how many rows a matrix has."""
        return int(self._tensor(name).shape[-1])

    def matrix(
        self, name: str, rows: int, columns: int, precision: Precision
    ) -> Blocks | npt.NDArray[np.float32]:
        """Return a matrix: in blocks where its kind and ``precision`` allow, else in float32."""
        tensor = self._tensor(name)
        self._require_shape(name, (rows, columns))
        if precision is not Precision.FLOAT32:
            found = in_blocks(tensor.tensor_type.name, tensor.data)
            if found is not None:
                _require_finite(name, found.scales)
                if found.offsets is not None:
                    _require_finite(name, found.offsets)
                return found
        return self.numbers(name, (rows, columns))

    def numbers(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return a tensor in float32, of the extents it must have."""
        from gguf import dequantize

        tensor = self._tensor(name)
        self._require_shape(name, shape)
        try:
            found: npt.NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type).astype(
                np.float32
            )
        except NotImplementedError as error:
            raise ModelError(
                f"tensor {name!r} has a type that cannot be read",
                where="model",
                value=tensor.tensor_type.name,
                expected="F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or a K type",
            ) from error
        _require_finite(name, found)
        return found.reshape(shape)

    def _require_shape(self, name: str, shape: tuple[int, ...]) -> None:
        found = tuple(int(extent) for extent in reversed(self._tensor(name).shape))
        if found != shape:
            raise ModelError(
                f"tensor {name!r} does not fit the model",
                where="model",
                value=list(found),
                expected=f"the extents {list(shape)}",
                hint="Convert the model again",
            )

    def _tensor(self, name: str) -> Any:
        self._used.add(name)
        if name not in self._tensors:
            raise ModelError(
                f"the file has no tensor {name!r}",
                where="model",
                hint="Convert the model again: it is not complete",
            )
        return self._tensors[name]


def _require_finite(name: str, numbers: npt.NDArray[np.float32]) -> None:
    if not np.isfinite(numbers).all():
        raise ModelError(
            f"tensor {name!r} holds weights that are no finite numbers",
            where="model",
            hint="Copy the file again, or convert the model again",
        )


def _short(value: object) -> str:
    return "nothing" if value is None else repr(value)[:60]


def _wrong(key: str, found: str, expected: str) -> NoReturn:
    raise ModelError(f"the file's {key!r} is not valid", where=key, value=found, expected=expected)
