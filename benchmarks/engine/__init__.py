"""What the engine costs and how fast it comes back."""
