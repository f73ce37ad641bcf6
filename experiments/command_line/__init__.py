"""The command line that all programs share: flags, their checks, tasks and output files."""
