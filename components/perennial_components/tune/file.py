"""Makes skops files of the same estimator the same bytes.

As skops writes them, a file holds the time, addresses in memory as names, and what was left in memory between the
fields of arrays of structures.
"""

import io
import json
import zipfile
from typing import Any

import numpy as np

_SCHEMA = "schema.json"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def canonical(data: bytes) -> bytes:
    """The skops file ``data`` with names counted in the order of its schema, dated 1980, and nothing between fields."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(_SCHEMA))
        names = _Names()
        names.rename(schema)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
            for old, new in names.files.items():
                made.writestr(zipfile.ZipInfo(new, _LONG_AGO), without_rests(archive.read(old)))
            made.writestr(zipfile.ZipInfo(_SCHEMA, _LONG_AGO), json.dumps(schema, indent=2))
        return out.getvalue()


class _Names:
    """New names for the parts of a schema, in the order in which they occur."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._parts: dict[Any, int] = {}
        self._count = 0

    def rename(self, node: Any) -> None:
        """Renames in ``node`` and all below it."""
        if isinstance(node, list):
            for each in node:
                self.rename(each)
            return
        if not isinstance(node, dict):
            return
        if "__id__" in node:
            node["__id__"] = self._part(node)
        if isinstance(name := node.get("file"), str) and "__loader__" in node:
            suffix = name.rpartition(".")[2]
            node["file"] = self.files.setdefault(name, f"{len(self.files)}.{suffix}")
        for each in node.values():
            self.rename(each)

    def _part(self, node: dict[str, Any]) -> int:
        """Parts that occur twice keep one name. Plain values each get their own: whether 1.0 here and 1.0 there are one
        object in memory depends on who made them.
        """
        if node.get("__loader__") == "JsonNode":
            self._count += 1
            return self._count
        if node["__id__"] not in self._parts:
            self._count += 1
            self._parts[node["__id__"]] = self._count
        return self._parts[node["__id__"]]


def without_rests(data: bytes) -> bytes:
    """The NumPy file ``data`` with zeros between the fields of its structures; the same where it has none."""
    if not data.startswith(b"\x93NUMPY"):
        return data
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names is None:
        return data
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    out = io.BytesIO()
    np.save(out, clean, allow_pickle=False)
    return out.getvalue()
