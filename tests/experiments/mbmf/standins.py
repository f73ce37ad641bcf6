"""Stand-ins of the pipeline's stages: commands that write small files at once."""

from __future__ import annotations

import sys
from pathlib import Path

from experiments.mbmf import check, commands, stages
from experiments.mbmf.agents import AGENTS
from experiments.mbmf.commands import Request

PROBE = Path(__file__).parent / "stage_probe.py"


def request(folder, agent="swimmer", path=None, seed=0, **overrides):
  return Request(AGENTS[agent], path, seed, folder / f"seed{seed}", overrides)


def replace(monkeypatch, failing=()):
  """Replaces commands and checks of flags and runs; those of ``failing`` end with status 3."""

  def words(stage, request):
    output = request.folder / stages.STAGES[stage].output
    flags = [f"--{name}={value}" for name, value in request.overrides.get(stage, {}).items()]
    status = "3" if stage in failing else "0"
    return [sys.executable, str(PROBE), str(output), status, *flags]

  monkeypatch.setattr(commands, "words", words)
  monkeypatch.setattr(check, "check", lambda stage, request: None)
  monkeypatch.setattr(stages, "is_complete", lambda path: (path / "complete").exists())


def calls(folder):
  """Returns the logged calls in a seed's folder."""
  log = folder / "log"
  return log.read_text().splitlines() if log.exists() else []
