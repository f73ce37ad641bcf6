"""Clients of the buses that robots' motors hang on; one package per protocol."""
