"""The steps of a fit: settings, plan, starts, training, calibration, result."""
