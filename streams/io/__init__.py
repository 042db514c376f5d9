"""Effects: one outside system per file."""
