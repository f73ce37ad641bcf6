"""HTTP server of the slider panel.

It listens on 127.0.0.1 only and answers only requests to that address from its own page or
from no page: other web sites can neither read nor change anything (``Host`` and ``Origin``
are checked, no CORS, JSON bodies).

``GET /`` returns the page and ``GET /state`` the data that it shows; ``POST /values`` takes
``{name: value, ...}`` and ``POST /command`` takes ``{"do": "pause"}``. Invalid requests get
status 400 and ``{"error": sentence}``.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

HOST = "127.0.0.1"
MAX_BODY = 65_536
"""Largest size of a request's body in bytes."""


class Served(Protocol):
  """What the server needs of a panel; see ``panel.Panel``."""

  def state(self) -> dict[str, Any]:
    """Returns the data that the page shows, as JSON values."""

  def change(self, values: Any) -> None:
    """Changes settings; raises ``ValueError`` for invalid ones."""

  def command(self, body: Any) -> None:
    """Requests to pause, resume or reset; raises ``ValueError`` for other commands."""


class PanelServer(ThreadingHTTPServer):
  """HTTP server of a panel."""

  daemon_threads = True
  allow_reuse_address = True

  def __init__(self, port: int, panel: Served):
    """Binds ``port`` on 127.0.0.1; 0 selects a free one."""
    self.panel = panel
    self.page = Path(__file__).with_name("panel.html").read_bytes()
    super().__init__((HOST, port), _Handler)

  def handle_error(self, request: Any, address: Any) -> None:
    """Ignores errors: a browser may close the connection at any time."""


class _Handler(BaseHTTPRequestHandler):
  """Answers one request."""

  server: PanelServer
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
