"""Encoders: content of one modality → features, learned from the collection at hand."""
