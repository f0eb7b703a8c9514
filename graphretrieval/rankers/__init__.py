"""What decides the order of answers: walks over the graph, and the fusion of score parts."""
