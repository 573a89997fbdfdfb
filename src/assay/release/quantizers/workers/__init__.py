"""Scripts that run inside quantizers' environments, by their path and without assay: `python -I SCRIPT JOB.json`.

Each reads a job from a JSON file, prints lines about its progress, and ends with 0 once its output is whole. They
import what their environment has, and nothing of assay's, which is not there.
"""
