"""What is minimised: a loss on rows, its gradient and its curvature, whichever engine computes."""
