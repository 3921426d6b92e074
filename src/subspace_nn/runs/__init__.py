"""A run, its record, the store, sweeps and the engines that execute them."""
