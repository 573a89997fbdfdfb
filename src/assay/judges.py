"""Models as judges: a judge run beside the run that it judges, and the judgements that its votes come to."""
