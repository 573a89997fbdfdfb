"""The version of assay: in `--version`, in every manifest, and in the package's metadata."""

__version__ = "0.1.0"
