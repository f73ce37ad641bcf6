"""Installs libraries to compare with, each with pinned packages in its own venv.

  python -m experiments.benchmark.peers.install mbrl_lib sb3
  python -m experiments.benchmark.peers.install pytorch_mppi --torch_index=https://download.pytorch.org/whl/cpu

mbrl_lib      mbrl-lib: --peer=mbrl of experiments.benchmark
sb3           Stable-Baselines3 and sbx: --peer=sb3 and --peer=sbx
pytorch_mppi  pytorch_mppi: --peer=pytorch_mppi
hydrax        hydrax, from GitHub: --peer=hydrax; needs git and Python 3.12

The venvs use the Python that runs this program. An existing venv is updated to the pinned
versions. This program needs only the standard library.
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
"""``NAME.txt`` for each venv; ``NAME.nodeps.txt``: packages installed without dependencies."""
PEERS = {
  "mbrl_lib": ("mbrl",),
  "sb3": ("sb3", "sbx"),
  "pytorch_mppi": ("pytorch_mppi",),
  "hydrax": ("hydrax",),
}
"""Names of the venvs, and the values of ``--peer`` that run in each."""


class InstallError(Exception):
  """Raised if a peer cannot be installed; the message gives the reason."""


def main(argv: list[str]) -> int:
  """Installs the peers named on the command line; returns the exit status."""
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
  """Parses the command line: names, folder of the venvs, index URL for torch."""
  parser = _Parser(
    prog="python -m experiments.benchmark.peers.install",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PEERS))
  parser.add_argument(
    "--into", default="peers", metavar="FOLDER", help="folder of the venvs (default: peers)"
  )
  parser.add_argument(
    "--torch_index",
    metavar="URL",
    help="additional package index for torch; PyPI's Linux wheels include CUDA",
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
  """Argument parser that reports an error in one line, as the other programs do."""

  def error(self, message: str) -> NoReturn:
    self.exit(2, f"error: {message}\n")


def install(name: str, folder: Path, torch_index: str | None = None) -> None:
  """Installs a peer's pinned packages in a venv, which is created if missing.

  Args:
    name: a key of ``PEERS``.
    folder: folder of the venv.
    torch_index: URL of a package index to use in addition to pip's default.

  Raises:
    InstallError: the venv cannot be created, or pip failed.
  """
  new = not (folder / "pyvenv.cfg").is_file()
  nodeps = REQUIREMENTS / f"{name}.nodeps.txt"
  index = ["--extra-index-url", torch_index] if torch_index else []
  try:
    if new:
      _create_venv(folder)
    if nodeps.is_file():
      _pip(folder, ["--no-deps", "--requirement", str(nodeps)])
    _pip(folder, ["--requirement", str(REQUIREMENTS / f"{name}.txt"), *index])
  except InstallError as error:
    if not new:
      raise InstallError(
        f"{error} {folder} existed before; remove it to start over."
      ) from error
    shutil.rmtree(folder, ignore_errors=True)  # the next run may use a different Python
    raise


def _create_venv(folder: Path) -> None:
  """Creates a venv with pip."""
  try:
    venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(folder)
  except (OSError, subprocess.CalledProcessError) as error:
    raise InstallError(f"Python could not create a venv at {folder}: {error}.") from error


def _pip(folder: Path, arguments: list[str]) -> None:
  """Runs ``pip install`` in a venv; pip prints its progress to stdout."""
  pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
  try:
    done = subprocess.run(
      [*pip, "install", *arguments], stderr=subprocess.PIPE, text=True, errors="replace"
    )
  except OSError as error:
    raise InstallError(f"{pip[0]} cannot be started: {error.strerror}.") from error
  if done.returncode:
    raise InstallError(f"{pip_error(done.stderr)}.")


def pip_error(stderr: str) -> str:
  """Returns the most specific line of pip's stderr: git's error, else pip's last error."""
  lines = [line.strip().rstrip(".") for line in stderr.splitlines() if line.strip()]
  for pattern in ("fatal: ", "ERROR: ", "error: "):
    found = [line for line in lines if line.startswith(pattern)]
    if found:
      return re.sub(f"^{pattern}", "", found[-1])
  return lines[-1] if lines else "pip failed"


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
