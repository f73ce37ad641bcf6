"""The examples in docstrings of the Dynamixel packages run."""

import doctest
import importlib

import pytest

pytest.importorskip("serial")


@pytest.mark.parametrize(
  "module", ["hardware.emulators.dynamixel", "hardware.buses.dynamixel.frames"]
)
def test_examples_run(module):
  results = doctest.testmod(importlib.import_module(module))
  assert results.attempted and not results.failed
