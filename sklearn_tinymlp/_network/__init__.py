"""The network in NumPy: layers, forward pass, derivatives with respect to weights and inputs."""
