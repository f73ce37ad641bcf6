import subprocess
import sys

MODULES = [
  "hardware.buses.moteus.commands",
  "hardware.buses.moteus.transports.fdcanusb",
  "hardware.buses.moteus.transports.pi3hat",
  "hardware.buses.moteus.transports.python_can",
  "hardware.buses.udp.client",
  "hardware.emulators.moteus.can_bus",
  "hardware.emulators.moteus.fdcanusb_port",
  "hardware.emulators.udp_host",
]
LAZY = ("jax", "can", "serial", "moteus", "mujoco")


def test_optional_libraries_and_jax_are_not_imported():
  code = f"import sys, {', '.join(MODULES)}; print([m for m in {LAZY} if m in sys.modules])"
  run = [sys.executable, "-c", code]
  out = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
  assert out.stdout.strip() == "[]", out.stderr
