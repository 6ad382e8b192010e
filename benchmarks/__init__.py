"""The same sweep done in several ways, timed side by side: ``python -m benchmarks.sweep``."""
