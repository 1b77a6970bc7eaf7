"""Pictures of fitted networks, a file each."""
