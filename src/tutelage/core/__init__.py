"""Records, errors, the recipe and the recorder of metrics. Imports in milliseconds and without torch."""
