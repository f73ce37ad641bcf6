"""Plans with the exact model of a task: task, planner, closed loop and results."""
