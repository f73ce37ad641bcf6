"""Videos, plots, the viewer and the panel."""
