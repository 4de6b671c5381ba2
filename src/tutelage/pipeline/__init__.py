"""From a recipe to finished stages: what depends on what, what is stale, running, and the Project."""
