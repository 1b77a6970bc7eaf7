"""Fitted networks as source code and as files."""
