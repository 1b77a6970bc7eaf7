"""Why a network does not converge."""
