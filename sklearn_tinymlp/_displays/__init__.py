"""Displays of fitted estimators, one file each, and their HTML in notebooks."""
