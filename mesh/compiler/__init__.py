"""Contracts in, everything derived out: `python -m mesh.compiler` writes `generated/`.

An emitter is a function `emit(descriptors) -> {path under generated/: content}`. It is pure: the same descriptors give
the same bytes, so that a regeneration can be compared with the commit. Emitters are named in pyproject.toml under
`[tool.zoco.compiler]`, not imported here, because the gateway brings some of them and the mesh knows no gateway.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from google.protobuf.descriptor_pb2 import FileDescriptorSet

Files: TypeAlias = Mapping[str, bytes]
"""Generated files: POSIX path relative to `generated/` -> content."""

Emitter: TypeAlias = Callable[[FileDescriptorSet], Files]
"""What `[tool.zoco.compiler] emitters` names, as `module:function`."""


class CompileError(Exception):
    """A contract or an emitter is wrong; the text is for the person who runs `make gen`, one finding a line."""


__all__ = ["CompileError", "Emitter", "Files"]
