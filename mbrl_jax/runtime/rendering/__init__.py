"""Videos, plots, the interactive viewer and the slider panel."""
