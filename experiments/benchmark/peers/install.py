"""Installs libraries to benchmark against, each with its pinned packages in a venv of its own.

  python -m experiments.benchmark.peers.install mbrl_lib sb3
  python -m experiments.benchmark.peers.install pytorch_mppi --torch_index=https://download.pytorch.org/whl/cpu

mbrl_lib      mbrl-lib: --peer=mbrl of experiments.benchmark
sb3           Stable-Baselines3 and sbx: --peer=sb3 and --peer=sbx
pytorch_mppi  pytorch_mppi: --peer=pytorch_mppi
hydrax        hydrax, from GitHub: --peer=hydrax; needs git and Python 3.12

The venvs use the Python that runs this program. One that exists already is kept and brought to
the pinned versions. The program uses the standard library alone: it needs no venv itself.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

REQUIREMENTS = Path(__file__).with_name("requirements")
"""``NAME.txt`` for each venv, and ``NAME.nodeps.txt`` for what pip must not resolve."""
PEERS = {
  "mbrl_lib": ("mbrl",),
  "sb3": ("sb3", "sbx"),
  "pytorch_mppi": ("pytorch_mppi",),
  "hydrax": ("hydrax",),
}
"""Names of the venvs, and the benchmark's ``--peer`` that run in each."""


class InstallError(Exception):
  """Raised where a peer cannot be installed; the message says why."""


def main(argv: list[str]) -> int:
  """Installs the peers that the command line names; returns the exit status."""
  names, into, torch_index = _parse(argv)
  failed = 0
  for name in names:
    try:
      install(name, into / name, torch_index)
    except InstallError as error:
      print(f"error: {name} was not installed: {error}", file=sys.stderr, flush=True)
      failed = 1
      continue
    for peer in PEERS[name]:
      python = into / name / "bin" / "python"
      print(f"Run experiments.benchmark with --peer={peer} --peer_python={python}", flush=True)
  return failed


def _parse(argv: list[str]) -> tuple[list[str], Path, str | None]:
  """Reads and checks the command line: names, folder of the venvs, index of torch's wheels."""
  parser = _Parser(
    prog="python -m experiments.benchmark.peers.install",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PEERS))
  parser.add_argument(
    "--into", default="peers", metavar="FOLDER", help="where the venvs go (default: peers)"
  )
  parser.add_argument(
    "--torch_index",
    metavar="URL",
    help="another index to look for torch on: PyPI's wheels for Linux bring CUDA",
  )
  args = parser.parse_args(argv)
  for name in args.names:
    if name not in PEERS:
      parser.error(f"{name!r} is not known; choose among {', '.join(PEERS)}.")
  if not args.names:
    parser.error(f"Name what to install, among {', '.join(PEERS)}.")
  for flag in ("into", "torch_index"):
    if getattr(args, flag) == "":
      parser.error(f"--{flag} is empty; give it a value or leave it out.")
  names, into = list(dict.fromkeys(args.names)), Path(args.into)
  for folder in (into, *(into / name for name in names)):
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
      parser.error(f"{folder} is not a folder; choose another --into.")
  for name in names:
    if (into / name).exists() and not (into / name / "pyvenv.cfg").is_file():
      parser.error(f"{into / name} exists and is not a venv; choose another --into.")
  return names, into, args.torch_index


class _Parser(argparse.ArgumentParser):
  """Reports an error in one line, as the other programs do."""

  def error(self, message: str) -> NoReturn:
    self.exit(2, f"error: {message}\n")


def install(name: str, folder: Path, torch_index: str | None = None) -> None:
  """Makes a venv, unless there is one, and installs a peer's pinned packages in it.

  Args:
    name: a key of ``PEERS``.
    folder: of the venv.
    torch_index: URL of a package index to use beside pip's own.

  Raises:
    InstallError: the venv cannot be made, or pip failed.
  """
  new = not (folder / "pyvenv.cfg").is_file()
  alone = REQUIREMENTS / f"{name}.nodeps.txt"
  index = ["--extra-index-url", torch_index] if torch_index else []
  try:
    if new:
      _make(folder)
    if alone.is_file():
      _pip(folder, ["--no-deps", "--requirement", str(alone)])
    _pip(folder, ["--requirement", str(REQUIREMENTS / f"{name}.txt"), *index])
  except InstallError as error:
    if not new:
      raise InstallError(
        f"{error} {folder} was there before; remove it to start over."
      ) from error
    shutil.rmtree(folder, ignore_errors=True)  # the next run may use another Python
    raise


def _make(folder: Path) -> None:
  """Makes a venv with pip in it."""
  try:
    venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(folder)
  except (OSError, subprocess.CalledProcessError) as error:
    raise InstallError(f"Python could not make a venv at {folder}: {error}.") from error


def _pip(folder: Path, arguments: list[str]) -> None:
  """Runs ``pip install`` in a venv; its progress goes to stdout."""
  pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
  try:
    done = subprocess.run(
      [*pip, "install", *arguments], stderr=subprocess.PIPE, text=True, errors="replace"
    )
  except OSError as error:
    raise InstallError(f"{pip[0]} cannot be started: {error.strerror}.") from error
  if done.returncode:
    raise InstallError(f"{reason(done.stderr)}.")


def reason(stderr: str) -> str:
  """Returns the line of pip's error output that says most: git's, else pip's last error."""
  lines = [line.strip().rstrip(".") for line in stderr.splitlines() if line.strip()]
  for pattern in ("fatal: ", "ERROR: ", "error: "):
    found = [line for line in lines if line.startswith(pattern)]
    if found:
      return re.sub(f"^{pattern}", "", found[-1])
  return lines[-1] if lines else "pip failed"


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
