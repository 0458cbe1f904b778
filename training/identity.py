"""What makes two runs one configuration: all resolved settings, but for the seed and for what cannot change a result.

The record of a run (its `config.json`) says everything; its identity is a short hash of the part that may change a
result. Runs of one identity differ in their seeds only, and only they may be averaged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Of a record, what does not tell one configuration from another. A preset's name is a way to write settings, which the
# record holds resolved. Threads may change the last bits of sums, not what is estimated.
NOT_PART = ("identity", "preset", "seed", "threads")
DIGITS = 16


def settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's record that is the same for all seeds of one configuration, as JSON gives it back."""
    part = {key: value for key, value in record.items() if key not in NOT_PART}
    part.setdefault("env", {})  # not recorded when no option was given
    plain: dict[str, Any] = json.loads(json.dumps(part))
    return plain


def identity(record: Mapping[str, Any]) -> str:
    """The first hexadecimal digits of the SHA-256 of the settings as JSON with sorted keys."""
    text = json.dumps(settings(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def run_key(record: Mapping[str, Any]) -> dict[str, Any]:
    """What names one run in its own files: identity and seed."""
    return {"identity": identity(record), "seed": record.get("seed")}


def first_difference(old: Any, new: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """(dotted key, value there, value here) of the first setting that differs, "absent" for a missing one; or None."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(k for k in new if k not in old)]:
            inner = f"{where}.{key}" if where else str(key)
            if key not in old or key not in new:
                return inner, old.get(key, "absent"), new.get(key, "absent")
            found = first_difference(old[key], new[key], inner)
            if found:
                return found
        return None
    return None if old == new and type(old) is type(new) else (where, old, new)
