"""The network in NumPy: layers, forward pass, derivatives by weights and by inputs."""
