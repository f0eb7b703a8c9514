"""The main job from end to end on a real collection: what `graphretrieval demo` runs."""
