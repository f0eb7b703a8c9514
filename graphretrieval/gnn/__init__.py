"""Edges and vectors: message passing that refines what content alone says."""
