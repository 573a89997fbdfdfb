"""Models behind one door: endpoints, local weights, recordings."""
