"""Measuring the assistant: benchmarks, fits, and the log of what was tried."""
