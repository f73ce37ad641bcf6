"""Runs the pipeline of MBMF (Nagabandi et al. 2017) stage by stage."""
