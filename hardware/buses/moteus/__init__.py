"""moteus motor controllers over CAN-FD."""
