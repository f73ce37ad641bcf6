"""Ports that cannot be opened say why and what to do."""

import grp
import os
import time

import pytest
from dynamixel_rig import rig

from hardware.buses.dynamixel import port as ports
from hardware.buses.dynamixel.port import Port, PortError
from mbrl_jax.ops.validate import ArgumentError

pytest.importorskip("serial")


def test_no_such_port_lists_those_there_are(tmp_path):
  with pytest.raises(PortError, match=r"does not exist\. Serial ports here: "):
    Port(str(tmp_path / "ttyUSB9"))


def test_file_is_no_port(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(PortError, match="is not a serial port"):
    Port(str(tmp_path / "file"))


def test_no_permission_names_the_group(monkeypatch):
  """Root may open everything, so the check itself is replaced."""
  master, slave = os.openpty()
  path = os.ttyname(slave)
  group = grp.getgrgid(os.stat(path).st_gid).gr_name
  monkeypatch.setattr(ports.os, "access", lambda path, mode: False)
  reason = ports._reason(path, 1_000_000, PermissionError(13, "denied"))
  assert f"belongs to the group '{group}'" in reason and f"usermod -a -G {group}" in reason
  os.close(master)
  os.close(slave)


def test_second_program_is_refused():
  with rig([1]) as r, pytest.raises(PortError, match="in use by another program"):
    Port(r.line.path)


def test_unknown_baud_rate_lists_the_valid():
  with pytest.raises(ArgumentError, match="1000000, 2000000"):
    Port("any", 1_234)


def test_missing_package_is_named(monkeypatch):
  monkeypatch.setitem(__import__("sys").modules, "serial", None)
  with pytest.raises(ImportError, match=r"mbrl_jax\[hardware\]"):
    Port("any")


def test_closed_port_says_so():
  with rig([1]) as r:
    r.port.close()
    r.port.close()
    with pytest.raises(PortError, match="was closed; open it again"):
      r.bus.ping(1)


def test_waiting_uses_no_processor():
  """The maker's own client spins; this one sleeps."""
  with rig([1], patience=0.5) as r:
    before = time.thread_time()  # without the emulator's thread
    assert r.bus.ping(99).failure == "silent"
    assert time.thread_time() - before < 0.1
