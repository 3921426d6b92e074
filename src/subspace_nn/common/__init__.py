"""Tools for every layer: errors, checks, text, numbers, atomic files, the environment."""
