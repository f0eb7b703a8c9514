"""Databases behind one interface: where the graph outlives the process."""
