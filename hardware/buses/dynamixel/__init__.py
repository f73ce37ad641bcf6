"""Dynamixel protocol 2.0: frames, registers of the X series, and a client for a serial port."""
