"""Planning: what will run, decided before anything runs."""
