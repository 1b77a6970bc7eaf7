"""The way of a fit, a file a step."""
