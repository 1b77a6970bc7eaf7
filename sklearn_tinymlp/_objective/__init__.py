"""The function to minimise: a loss on rows, its gradient and its linearisation."""
