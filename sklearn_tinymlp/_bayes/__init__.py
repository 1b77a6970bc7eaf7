"""MacKay's evidence, and the posterior of the weights."""
