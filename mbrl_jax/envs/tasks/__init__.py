"""The tasks, by family: one file each."""
