"""Emulated devices that answer byte for byte; nothing here is evidence about a real device."""
