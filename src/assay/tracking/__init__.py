"""Runs in MLflow: what was measured, judged and sealed here, where a team looks for it, and back again."""
