"""The compiled engine: forward pass, gradients, epochs of sgd and adam, L-BFGS."""
