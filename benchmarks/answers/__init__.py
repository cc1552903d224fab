"""How long quick requests wait beside admissions."""
