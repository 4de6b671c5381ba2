"""The core of training: losses, gradients, and what they converge to. A module a row, in the table's order."""

ROWS = ("optimum", "against_trl", "speed", "reward_models", "resume", "memory")
