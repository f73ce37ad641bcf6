"""Invalid values in ``config.json`` are refused."""

from __future__ import annotations

import pytest

from mbrl_jax.runtime.storage.run_folder import RunFolder, RunFolderError


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("", r"config\.json cannot be read"),
    ('{"seed": 3', r"config\.json cannot be read.*line 1"),
    ("[1]", "does not contain a JSON object"),
    ("[" * 100_000, "cannot be read"),
    ('{"seed": -1}', "seed is -1, not from 0 to 4294967295"),
    ('{"seed": 4294967296}', "seed is 4294967296, not from"),
    ('{"seed": true}', "seed is True, not a whole number"),
    ('{"seed": 1.0}', "seed is 1.0, not a whole number"),
    ('{"seed": 4294967295, "seeds": 2}', "the first of 2"),
    ('{"seeds": 0}', "seeds is 0, not from 1"),
    ('{"eval_every": -5}', "eval_every is -5"),
    ('{"eval_episodes": "3"}', "eval_episodes is '3', not a whole number"),
    ('{"env": null}', "env is None, not a string"),
    ('{"config": []}', r"config is \[\], not an object"),
  ],
)
def test_an_invalid_config_is_refused(tmp_path, text, message):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(RunFolderError, match=message) as error:
    RunFolder(tmp_path).config()
  assert "config.json" in str(error.value) and "\n" not in str(error.value)
