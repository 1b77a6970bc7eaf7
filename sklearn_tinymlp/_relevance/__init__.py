"""Pilot networks for relevance determination, and screening."""
