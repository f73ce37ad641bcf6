"""Serves a small local web page with sliders for a running program's settings.

The panel holds the settings (floats), the program's status, and requests to pause or reset;
it does not depend on planners. It listens on 127.0.0.1 only, in a daemon thread, and answers
only requests to that address from its own page or from no page: other web sites can neither
read nor change anything (``Host`` and ``Origin`` are checked, no CORS, JSON bodies).

``GET /`` returns the page and ``GET /state`` the data that it shows; ``POST /values`` takes
``{name: value, ...}`` and ``POST /command`` takes ``{"do": "pause"}``. Invalid requests get
status 400 and ``{"error": sentence}``.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from mbrl_jax.ops import validate

HOST = "127.0.0.1"
COMMANDS = ("pause", "resume", "reset")
MAX_BODY = 65_536
"""Largest size of a request's body in bytes."""
MAX_VALUE = 3.0e38
"""Largest magnitude of a setting, so that it fits a float32."""
Check = Callable[[str, float], None]


class Panel:
  """Settings that a user can change from a web page while a program runs."""

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
      self._server = _Server((HOST, port), self)
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


class _Server(ThreadingHTTPServer):
  """HTTP server of a panel."""

  daemon_threads = True
  allow_reuse_address = True

  def __init__(self, address: tuple[str, int], panel: Panel):
    self.panel = panel
    self.page = Path(__file__).with_name("panel.html").read_bytes()
    super().__init__(address, _Handler)

  def handle_error(self, request: Any, address: Any) -> None:
    """Ignores errors: a browser may close the connection at any time."""


class _Handler(BaseHTTPRequestHandler):
  """Answers one request."""

  server: _Server
  timeout = 10
  server_version, sys_version = "panel", ""

  def do_GET(self) -> None:
    if not self._allowed():
      return
    if self.path == "/":
      self._send(200, "text/html; charset=utf-8", self.server.page)
    elif self.path == "/state":
      self._json(200, self.server.panel.state())
    else:
      self._refuse(404, f"There is no {self.path}: get / or /state.")

  def do_POST(self) -> None:
    if not self._allowed():
      return
    panel = self.server.panel
    action = {"/values": panel.change, "/command": panel.command}.get(self.path)
    if action is None:
      self._refuse(404, f"There is no {self.path}: post to /values or /command.")
      return
    try:
      action(self._body())
    except ValueError as error:
      self._refuse(400, str(error))
    else:
      self._json(200, panel.state())

  def log_message(self, format: str, *args: Any) -> None:
    """Logs nothing."""

  def _allowed(self) -> bool:
    """Refuses requests to another host name (DNS rebinding) or from another site."""
    port = self.server.server_port
    hosts = (f"{HOST}:{port}", f"localhost:{port}")
    host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
    site = self.headers.get("Sec-Fetch-Site", "none")
    same_origin = origin is None or origin == f"http://{host}"
    if host in hosts and same_origin and site in ("none", "same-origin"):
      return True
    self._refuse(403, f"This panel answers only its own page at http://{hosts[0]}/.")
    return False

  def _body(self) -> Any:
    """Reads a JSON body."""
    if self.headers.get_content_type() != "application/json":
      raise ValueError("The body must be JSON: Content-Type: application/json.")
    length = self.headers.get("Content-Length", "")
    if not length.isdecimal() or int(length) > MAX_BODY:
      raise ValueError(f"Content-Length must be a number up to {MAX_BODY}.")
    try:
      return json.loads(self.rfile.read(int(length)))
    except (ValueError, RecursionError) as error:
      raise ValueError("The body is not JSON.") from error

  def _refuse(self, status: int, sentence: str) -> None:
    self.close_connection = True  # the rest of the body is not read
    self._json(status, {"error": sentence})

  def _json(self, status: int, value: Any) -> None:
    self._send(status, "application/json", json.dumps(value, allow_nan=False).encode())

  def _send(self, status: int, kind: str, body: bytes) -> None:
    self.send_response(status)
    self.send_header("Content-Type", kind)
    self.send_header("Content-Length", str(len(body)))
    self.send_header("Cache-Control", "no-store")
    self.send_header("X-Content-Type-Options", "nosniff")
    self.send_header(
      "Content-Security-Policy",
      "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
      "connect-src 'self'; frame-ancestors 'none'",
    )
    self.end_headers()
    self.wfile.write(body)
