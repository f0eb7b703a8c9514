"""Measurements: protocols, controls and benchmarks."""
