"""Config fields that runs of version 0.2.0 did not store, with the values that acted then."""

from __future__ import annotations

from typing import Any

ADDED: dict[str, Any] = {"model.normalize_targets": False, "trpo.accept_first": False}
