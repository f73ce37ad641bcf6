"""MBMF's tasks, path following included."""
