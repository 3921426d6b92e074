"""Tasks: data sets, recipes, the training loop, and the module and data of a user."""
