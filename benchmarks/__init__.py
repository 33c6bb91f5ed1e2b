"""Benchmarks of tinygrad_cnn against PyTorch and others.  ``python -m benchmarks`` runs them all; see README.md."""
