"""The stages of a release: each does one piece of work, and says what went in and what came out."""
