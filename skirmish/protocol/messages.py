"""The messages of StarCraft II's API, built from the descriptors inside the package s2clientprotocol.

The package's own modules were generated for an old protobuf: today they import only with protobuf's Python
implementation, which is many times slower than the compiled one. So they are not imported: the descriptors they carry
are read out of their text and given to a descriptor pool of our own, which works with every implementation.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from skirmish.extras import needed_for

PACKAGE = "s2clientprotocol"
NAMESPACE = "SC2APIProtocol"


class Messages:
    """Message classes and enum values by name: `messages.Request()`, `messages.enum("Status")["in_game"]`."""

    def __init__(self, pool: Any, get_class: Any) -> None:
        """Bind to a descriptor pool that holds the API."""
        self._pool, self._get_class = pool, get_class

    def __getattr__(self, name: str) -> Any:
        message = self._get_class(self._pool.FindMessageTypeByName(f"{NAMESPACE}.{name}"))
        setattr(self, name, message)
        return message

    def enum(self, name: str) -> dict[str, int]:
        """Numbers by name of an enum such as "Status" or "ResponseCreateGame.Error"."""
        values = self._pool.FindEnumTypeByName(f"{NAMESPACE}.{name}").values
        return {value.name: value.number for value in values}


@cache
def load_messages() -> Messages:
    """The API. Raises: ImportError that names what to install, if protobuf or s2clientprotocol is missing."""
    with needed_for("games served to other programs", f"protobuf and {PACKAGE}", extra="protocol"):
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

        folder = _folder()
    files: dict[str, Any] = {}
    for path in sorted(folder.glob("*_pb2.py")):
        file = descriptor_pb2.FileDescriptorProto.FromString(serialized_descriptor(path.read_text(encoding="utf-8")))
        files[file.name] = file
    pool: Any = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(name: str) -> None:
        if name not in added:
            added.add(name)
            for dependency in files[name].dependency:
                add(dependency)
            pool.AddSerializedFile(files[name].SerializeToString())

    for name in files:
        add(name)
    return Messages(pool, message_factory.GetMessageClass)


def serialized_descriptor(source: str) -> bytes:
    """The descriptor inside the text of a generated module: the argument `serialized_pb`, a literal.

    Raises: ImportError if there is none: another generation of the package than the one that is pinned.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb":
            literals = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
            if len(literals) == 1 and isinstance(literals[0], str):
                return literals[0].encode("latin1")
            if len(literals) == 1 and isinstance(literals[0], bytes):
                return literals[0]
    raise ImportError(
        f"{PACKAGE} must be of the generation that carries serialized_pb, got another one: "
        "install the version in requirements-starcraft.lock"
    )


def _folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named '{PACKAGE}'", name=PACKAGE)
    return Path(next(iter(found.submodule_search_locations)))
