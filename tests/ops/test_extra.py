"""Imports of optional dependencies."""

import math

import pytest

from mbrl_jax.ops.extra import import_extra


def test_an_installed_module_is_returned():
  assert import_extra("math") is math


@pytest.mark.parametrize(
  ("arguments", "extra"),
  [(("no_such_module",), "no_such_module"), (("no_such_module.part", "bundle"), "bundle")],
)
def test_a_missing_module_raises_with_the_command_that_installs_it(arguments, extra):
  with pytest.raises(ImportError, match=rf'pip install "mbrl_jax\[{extra}\]"$'):
    import_extra(*arguments)


def test_output_of_the_import_is_discarded(tmp_path, monkeypatch, capsys):
  (tmp_path / "talkative_module.py").write_text("print('hello')\nVALUE = 3\n")
  monkeypatch.syspath_prepend(tmp_path)
  assert import_extra("talkative_module").VALUE == 3
  assert capsys.readouterr().out == ""
