"""What a person writes: the schema of a spec, and how a file or the command line becomes one."""
