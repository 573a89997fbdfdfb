"""Evidence: manifests, and their verification."""
