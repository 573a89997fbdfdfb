"""The command line: the only behaviour layer."""
