"""Serves a small local web page with sliders for a running program's settings.

The panel holds the settings (floats), the program's status, and requests to pause or reset;
it does not depend on planners. See ``panel_server`` for the HTTP interface.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from mbrl_jax.ops import validate
from mbrl_jax.runtime.rendering.panel_server import HOST, PanelServer

COMMANDS = ("pause", "resume", "reset")
MAX_VALUE = 3.0e38
"""Largest magnitude of a setting, so that it fits a float32."""
Check = Callable[[str, float], None]


class Panel:
  """Settings that a user can change from a web page while a program runs.

  Example:
    >>> with Panel({"temperature": 0.5}) as panel:
    ...   panel.change({"temperature": 2.0})  # as the page does
    ...   panel.take(), panel.state()["values"]
    ({'temperature': 2.0}, {'temperature': 2.0})
  """

  def __init__(
    self,
    values: Mapping[str, float],
    *,
    title: str = "",
    port: int = 0,
    check: Check | None = None,
  ):
    """Starts the server.

    Args:
      values: the settings by name.
      title: of the page.
      port: TCP port on 127.0.0.1; 0 selects a free one.
      check: ``(name, value)``; raises ``ValueError`` for a finite value that is invalid.

    Raises:
      ValueError: an invalid port, or one in use.
    """
    validate.between(0, 65_535, port=port)
    self.title = title
    self._lock = threading.Lock()
    self._check = check or (lambda name, value: None)
    self._values = {name: float(value) for name, value in values.items()}
    self._ranges = {n: slider_range(n, v, self._check) for n, v in self._values.items()}
    self._changed: dict[str, float] = {}
    self._status: dict[str, Any] = {}
    self._paused = self._reset = False
    try:
      self._server = PanelServer(port, self)
    except OSError as error:
      text = f"is not available: {error.strerror}."
      raise validate.ArgumentError("port", port, text) from error
    self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
    self._thread.start()

  @property
  def port(self) -> int:
    """TCP port of the server."""
    return self._server.server_port

  @property
  def url(self) -> str:
    """Address of the page."""
    return f"http://{HOST}:{self.port}/"

  @property
  def paused(self) -> bool:
    """Whether the program should pause."""
    return self._paused

  def take(self) -> dict[str, float]:
    """Returns the values changed since the last call."""
    with self._lock:
      changed, self._changed = self._changed, {}
    return changed

  def take_reset(self) -> bool:
    """Returns whether a reset was requested since the last call."""
    with self._lock:
      requested, self._reset = self._reset, False
    return requested

  def refresh(self, values: Mapping[str, float], status: Mapping[str, Any]) -> None:
    """Updates the settings and the status that the page shows.

    A change by the user that ``take`` has not returned yet is kept.
    """
    with self._lock:
      self._values |= {n: v for n, v in values.items() if n not in self._changed}
      self._status = dict(status)

  def state(self) -> dict[str, Any]:
    """Returns the data that the page shows, as JSON values."""
    with self._lock:
      numbers = {name: _finite(value) for name, value in self._values.items()}
      status = {name: _finite(value) for name, value in self._status.items()}
      return {
        "title": self.title,
        "values": numbers,
        "ranges": self._ranges,
        "status": status,
        "paused": self._paused,
      }

  def change(self, values: Any) -> None:
    """Changes settings, all of them or none.

    Raises:
      ValueError: a setting is unknown, not a finite number or invalid; names it.
    """
    if not isinstance(values, dict) or not values:
      raise ValueError('The body must be an object of numbers, such as {"name": 0.5}.')
    for name, value in values.items():
      validate.choice("setting", name, self._values)
      if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, got {json.dumps(value)}.")
      if not abs(value) <= MAX_VALUE:
        raise ValueError(f"{name} must be a finite number.")
      self._check(name, float(value))
    with self._lock:
      floats = {name: float(value) for name, value in values.items()}
      self._values |= floats
      self._changed |= floats

  def command(self, body: Any) -> None:
    """Requests to pause, resume or reset.

    Raises:
      ValueError: an unknown command; lists the valid ones.
    """
    command = body.get("do") if isinstance(body, dict) else None
    validate.choice("do", command, COMMANDS)
    with self._lock:
      if command == "reset":
        self._reset = True
      else:
        self._paused = command == "pause"

  def close(self) -> None:
    """Stops the server."""
    self._server.shutdown()
    self._server.server_close()
    self._thread.join()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *error: object) -> None:
    self.close()


def slider_range(name: str, value: float, check: Check) -> tuple[float, float, bool]:
  """Returns ``(low, high, logarithmic)`` of the slider of a setting.

  A positive value gets two decades on either side, or the range 0 to 1 if larger values are
  invalid, as for fractions; zero and negative values get a linear scale. Values outside the
  range can be typed into the number field.

  Example:
    >>> slider_range("temperature", 0.5, lambda name, value: None)
    (0.005, 50.0, True)
  """

  def valid(number: float) -> bool:
    try:
      check(name, number)
    except ValueError:
      return False
    return True

  if not math.isfinite(value):
    return 0.0, 1.0, False
  if 0 <= value <= 1 and valid(1.0) and not valid(1.5):
    return 0.0, 1.0, False
  if value > 0:
    return value / 100, value * 100, True
  return (2 * value, -2 * value, False) if value < 0 else (0.0, 4.0, False)


def _finite(value: Any) -> Any:
  """Returns ``value``, or ``None`` for a float that JSON cannot represent."""
  return None if isinstance(value, float) and not math.isfinite(value) else value
