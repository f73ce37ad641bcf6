"""What `experiments.compare` is made of: exact models, closed loops, tables and pictures."""
