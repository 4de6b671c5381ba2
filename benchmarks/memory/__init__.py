"""What a stage takes at its peak, measured in a process of its own, beside what was estimated before it."""
