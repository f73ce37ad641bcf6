"""Tasks by family, one file each."""
