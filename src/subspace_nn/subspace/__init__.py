"""Any module in a subspace: the wrapper, θ0, the layout, the selection."""
