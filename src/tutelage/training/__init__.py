"""The training stages: each a story that reads top to bottom, over shared objectives."""
