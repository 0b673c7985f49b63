"""Training: state, objectives, step, and the loop that runs it."""
