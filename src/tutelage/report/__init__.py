"""From a project's finished artifacts to `summary.json` and one page that needs nothing else."""
