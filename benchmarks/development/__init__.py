"""A development set for the starter pack: choose a recipe's settings on it, never on the pack's evaluation sets.

`python -m benchmarks.development PROJECT STAGE` measures a model on it; README.md says how it was written.
"""
