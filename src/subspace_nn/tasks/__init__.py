"""Real tasks: data sets, and a loop that trains on them."""
