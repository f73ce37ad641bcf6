"""Serves a small local web page with sliders for a running program's floats.

The panel owns a dictionary of floats, a dictionary of what the program reports and
the wish to pause or to start anew; it knows nothing of planners. It listens on
127.0.0.1 only, in a daemon thread, and answers only requests that were made to that
very address, by its own page or by no page at all: a foreign web page can neither
read nor change anything (``Host`` and ``Origin`` are checked, no CORS, JSON bodies).

``GET /`` is the page and ``GET /state`` all that it shows; ``POST /values`` takes
``{name: value, ...}`` and ``POST /command`` takes ``{"do": "pause"}``. What cannot be
done is answered with status 400 and ``{"error": sentence}``.
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
LARGEST = 65_536
"""Bytes of a request's body at most."""
LIMIT = 3.0e38
"""Magnitude up to which a value is a float32."""
Check = Callable[[str, float], None]


class Panel:
  """Floats that a user may change from a web page while a program runs."""

  def __init__(
    self,
    values: Mapping[str, float],
    *,
    title: str = "",
    port: int = 0,
    check: Check | None = None,
  ):
    """Starts to serve.

    Args:
      values: the settings by name.
      title: over the page.
      port: TCP port on 127.0.0.1; 0 takes a free one.
      check: ``(name, value)``; raises ``ValueError`` with a sentence for a finite
        value that the program cannot take.

    Raises:
      ValueError: a port that does not exist or is taken.
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
      text = f"cannot be listened on: {error.strerror}."
      raise validate.ArgumentError("port", port, text) from error
    self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
    self._thread.start()

  @property
  def port(self) -> int:
    """TCP port that the panel listens on."""
    return self._server.server_port

  @property
  def url(self) -> str:
    """Address of the page."""
    return f"http://{HOST}:{self.port}/"

  @property
  def paused(self) -> bool:
    """Whether the program should wait."""
    return self._paused

  def take(self) -> dict[str, float]:
    """Returns the values changed since the last call."""
    with self._lock:
      changed, self._changed = self._changed, {}
    return changed

  def take_reset(self) -> bool:
    """Tells whether a fresh start was asked for since the last call."""
    with self._lock:
      wanted, self._reset = self._reset, False
    return wanted

  def refresh(self, values: Mapping[str, float], status: Mapping[str, Any]) -> None:
    """Shows what the program really uses and how it is doing.

    A value that the user has changed and the program has not taken yet stays.
    """
    with self._lock:
      self._values |= {n: v for n, v in values.items() if n not in self._changed}
      self._status = dict(status)

  def state(self) -> dict[str, Any]:
    """Returns all that the page shows, as JSON can hold it."""
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
      ValueError: says which is unknown, no number or refused by the program.
    """
    if not isinstance(values, dict) or not values:
      raise ValueError('The body must be an object of numbers, such as {"name": 0.5}.')
    for name, value in values.items():
      validate.choice("setting", name, self._values)
      if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, got {json.dumps(value)}.")
      if not abs(value) <= LIMIT:
        raise ValueError(f"{name} must be a finite number.")
      self._check(name, float(value))
    with self._lock:
      floats = {name: float(value) for name, value in values.items()}
      self._values |= floats
      self._changed |= floats

  def command(self, body: Any) -> None:
    """Pauses, resumes or asks for a fresh start.

    Raises:
      ValueError: names the commands there are.
    """
    wish = body.get("do") if isinstance(body, dict) else None
    validate.choice("do", wish, COMMANDS)
    with self._lock:
      if wish == "reset":
        self._reset = True
      else:
        self._paused = wish == "pause"

  def close(self) -> None:
    """Stops to serve."""
    self._server.shutdown()
    self._server.server_close()
    self._thread.join()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *error: object) -> None:
    self.close()


def slider_range(name: str, value: float, check: Check) -> tuple[float, float, bool]:
  """Returns ``(low, high, logarithmic)`` of the slider of a setting.

  A positive value gets two decades on either side, unless the program refuses all that
  is above one, as it does with shares; zero and negative values get a straight scale.
  The number beside the slider takes what lies beyond.
  """

  def fits(number: float) -> bool:
    try:
      check(name, number)
    except ValueError:
      return False
    return True

  if not math.isfinite(value):
    return 0.0, 1.0, False
  if 0 <= value <= 1 and fits(1.0) and not fits(1.5):
    return 0.0, 1.0, False
  if value > 0:
    return value / 100, value * 100, True
  return (2 * value, -2 * value, False) if value < 0 else (0.0, 4.0, False)


def _finite(value: Any) -> Any:
  """Returns ``value``, or ``None`` where JSON has no number for it."""
  return None if isinstance(value, float) and not math.isfinite(value) else value


class _Server(ThreadingHTTPServer):
  """A server that knows its panel."""

  daemon_threads = True
  allow_reuse_address = True

  def __init__(self, address: tuple[str, int], panel: Panel):
    self.panel = panel
    self.page = Path(__file__).with_name("panel.html").read_bytes()
    super().__init__(address, _Handler)

  def handle_error(self, request: Any, address: Any) -> None:
    """Says nothing: a browser that goes away is no error of this program."""


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
      self._refuse(404, f"There is no {self.path}: / and /state are all there is to get.")

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
    """Refuses whoever asked for another host (DNS rebinding) or from another site."""
    port = self.server.server_port
    hosts = (f"{HOST}:{port}", f"localhost:{port}")
    host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
    site = self.headers.get("Sec-Fetch-Site", "none")
    own = origin is None or origin == f"http://{host}"
    if host in hosts and own and site in ("none", "same-origin"):
      return True
    self._refuse(403, f"This panel answers only its own page at http://{hosts[0]}/.")
    return False

  def _body(self) -> Any:
    """Reads a JSON body."""
    if self.headers.get_content_type() != "application/json":
      raise ValueError("The body must be JSON: Content-Type: application/json.")
    length = self.headers.get("Content-Length", "")
    if not length.isdecimal() or int(length) > LARGEST:
      raise ValueError(f"Content-Length must be a number up to {LARGEST}.")
    try:
      return json.loads(self.rfile.read(int(length)))
    except (ValueError, RecursionError) as error:
      raise ValueError("The body is not JSON.") from error

  def _refuse(self, status: int, sentence: str) -> None:
    self.close_connection = True  # what is left of the body is not read
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
