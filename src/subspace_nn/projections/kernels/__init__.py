"""Kernels for GPUs, imported only where a GPU and Triton are present."""
