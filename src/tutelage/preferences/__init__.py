"""From what raters said to what is learned. Today: resolving judgements into rankings and comparisons."""
