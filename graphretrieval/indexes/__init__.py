"""Nearest vectors by inner product."""
