"""Ways to a CAN-FD bus with moteus controllers."""
