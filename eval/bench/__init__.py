"""Benchmarks. Each prints ratios against a baseline in the same run: machines are noisy."""
