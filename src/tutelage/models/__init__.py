"""Models in memory: one frozen trunk, many adapters and small heads on it, and how they load and save."""
