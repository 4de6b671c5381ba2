"""Programs that run in another library's environment (`benchmarks.environments`) and write what it computes.

They import that library and nothing of ours, and the claims import nothing of them: they meet in files.
"""
