"""Programs: absl binaries and their configs. Nothing imports them."""
