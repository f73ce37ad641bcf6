"""What `experiments.plan` is made of: the task, the planner, the loop, what is written."""
