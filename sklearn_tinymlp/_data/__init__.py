"""The data of a fit: validation, scaling, range of the inputs."""
