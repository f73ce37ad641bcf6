"""The host ring: the loop around a compiled step, and all that is written about a run."""
