"""Emulated Dynamixel X-series servos on a pseudo-terminal.

Example:
  >>> from hardware.buses.dynamixel import registers
  >>> from hardware.buses.dynamixel.bus import Bus
  >>> from hardware.buses.dynamixel.port import Port
  >>> from hardware.emulators.dynamixel.line import Line
  >>> from hardware.emulators.dynamixel.network import Network
  >>> from hardware.emulators.dynamixel.servo import Servo
  >>> with Line(Network([Servo(1), Servo(2)])) as line, Port(line.path) as port:
  ...   answers = Bus(port, patience=0.1).sync_read([1, 2], registers.STATE)
  >>> registers.state(answers[2].require())  # current, velocity, position
  (0, 0, 2048)
"""
