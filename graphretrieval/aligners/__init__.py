"""Aligners: features of several modalities → one space, compared by inner product."""
