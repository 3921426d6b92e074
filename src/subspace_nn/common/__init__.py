"""What every layer may use: errors, atomic files, the environment."""
