"""Networks on processor cores, one core a lane."""
