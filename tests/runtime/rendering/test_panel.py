"""The panel's settings, its page, and the requests that it answers."""

from __future__ import annotations

import http.client
import json
import urllib.request

import pytest

from mbrl_jax.runtime.rendering.panel import Panel, slider_range


def not_above_one(name, value):
  if name == "share" and value > 1:
    raise ValueError(f"{name} must not exceed 1, got {value}.")


@pytest.fixture
def panel():
  values = {"temperature": 0.5, "share": 0.1}
  with Panel(values, title="a <task>", check=not_above_one) as panel:
    yield panel


def request(panel, method, path, body=None, **headers):
  """Sends a request with the headers of a browser; returns status and body."""
  connection = http.client.HTTPConnection("127.0.0.1", panel.port, timeout=10)
  headers = {"Content-Type": "application/json"} | {
    name.replace("_", "-"): value for name, value in headers.items()
  }
  connection.request(method, path, body, headers)
  response = connection.getresponse()
  text = response.read().decode()
  connection.close()
  kind = response.getheader("Content-Type", "")
  return response.status, json.loads(text) if kind == "application/json" else text


def change(panel, **values):
  return request(panel, "POST", "/values", json.dumps(values))


def test_the_server_listens_on_the_loopback_interface_only(panel):
  assert panel._server.server_address[0] == "127.0.0.1"
  with urllib.request.urlopen(panel.url, timeout=10) as answer:
    assert b"<html" in answer.read()
    assert answer.headers["Access-Control-Allow-Origin"] is None
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_a_change_is_returned_once(panel):
  status, state = change(panel, temperature=2, share=0.25)
  assert (status, state["values"]) == (200, {"temperature": 2.0, "share": 0.25})
  assert panel.take() == {"temperature": 2.0, "share": 0.25}
  assert panel.take() == {}


def test_the_page_shows_the_values_that_the_program_uses(panel):
  change(panel, temperature=3.0)
  panel.refresh({"temperature": 9.0, "share": 0.4}, {"reward": -1.5, "value": float("-inf")})
  status, state = request(panel, "GET", "/state")
  assert status == 200 and state["title"] == "a <task>"
  assert state["values"] == {"temperature": 3.0, "share": 0.4}, (
    "a change that was not taken yet was lost"
  )
  assert state["status"] == {"reward": -1.5, "value": None}
  panel.take()
  panel.refresh({"temperature": 9.0}, {})
  assert panel.state()["values"]["temperature"] == 9.0


def test_pause_resume_and_reset(panel):
  for command, paused in (("pause", True), ("resume", False)):
    status, state = request(panel, "POST", "/command", json.dumps({"do": command}))
    assert (status, state["paused"], panel.paused) == (200, paused, paused)
  assert not panel.take_reset()
  request(panel, "POST", "/command", '{"do": "reset"}')
  assert panel.take_reset() and not panel.take_reset()


@pytest.mark.parametrize(
  ("path", "body", "message"),
  [
    ("/values", '{"temprature": 1}', "Did you mean 'temperature'"),
    ("/values", '{"temperature": "hot"}', "temperature must be a number"),
    ("/values", '{"temperature": true}', "temperature must be a number"),
    ("/values", '{"temperature": NaN}', "temperature must be a finite number"),
    ("/values", '{"temperature": 1e39}', "temperature must be a finite number"),
    ("/values", '{"temperature": 1' + 400 * "0" + "}", "temperature must be a finite number"),
    ("/values", '{"temperature": 2, "share": 7}', "share must not exceed 1"),
    ("/values", "{}", "object of numbers"),
    ("/values", "[1]", "object of numbers"),
    ("/values", "[" * 60_000, "not JSON"),
    ("/values", b"\xff\xfe", "not JSON"),
    ("/command", '{"do": "explode"}', "Valid choices: 'pause'"),
    ("/command", "3", "Valid choices: 'pause'"),
  ],
)
def test_invalid_requests_get_an_error_message(panel, path, body, message):
  status, answer = request(panel, "POST", path, body)
  assert status == 400 and message in answer["error"]
  assert panel.take() == {}
  assert panel.state()["values"] == {"temperature": 0.5, "share": 0.1}


def test_bodies_must_be_json_and_short(panel):
  assert request(panel, "POST", "/values", '{"share": 0}', Content_Type="text/plain")[0] == 400
  assert request(panel, "POST", "/values", '{"share": 0}', Content_Length="1000000")[0] == 400
  assert request(panel, "POST", "/values", '{"share": 0}', Content_Length="-1")[0] == 400
  assert request(panel, "POST", "/state", "{}")[0] == 404
  assert request(panel, "GET", "/etc/passwd")[0] == 404
  assert panel.take() == {}


@pytest.mark.parametrize(
  "headers",
  [
    {"Host": "evil.example"},  # DNS rebinding: another name for 127.0.0.1
    {"Host": "127.0.0.1:1"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site"},
  ],
)
def test_requests_from_other_sites_are_refused(panel, headers):
  for method, path in (("GET", "/"), ("GET", "/state"), ("POST", "/values")):
    status, answer = request(panel, method, path, '{"share": 0.9}', **headers)
    assert status == 403 and "only its own page" in answer["error"]
  assert panel.take() == {}


def test_requests_from_its_own_page_are_answered(panel):
  for host in ("127.0.0.1", "localhost"):
    own = {"Host": f"{host}:{panel.port}", "Origin": f"http://{host}:{panel.port}"}
    assert request(panel, "POST", "/values", '{"share": 0.9}', **own)[0] == 200


def test_other_methods_are_refused(panel):
  assert request(panel, "OPTIONS", "/values")[0] == 501
  assert request(panel, "DELETE", "/values")[0] == 501


def test_slider_ranges_cover_the_valid_values():
  anything = lambda name, value: None
  assert slider_range("temperature", 0.5, anything) == (0.005, 50.0, True)
  assert slider_range("share", 0.1, not_above_one) == (0.0, 1.0, False)
  assert slider_range("shift", -2.0, anything) == (-4.0, 4.0, False)
  low, high, logarithmic = slider_range("base", 0.0, anything)
  assert low == 0 < high and not logarithmic


def test_an_unavailable_or_invalid_port_is_refused(panel):
  with pytest.raises(ValueError, match=f"port={panel.port} is not available"):
    Panel({}, port=panel.port)
  with pytest.raises(ValueError, match="port=70000 must lie between"):
    Panel({}, port=70_000)


def test_the_port_is_free_again_after_closing():
  with Panel({}) as first:
    port = first.port
  with Panel({}, port=port) as second:
    assert second.port == port
