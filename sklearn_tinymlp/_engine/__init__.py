"""Networks as the kernels see them: forward pass, gradients, Jacobians, epochs."""
