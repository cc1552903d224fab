"""Child processes and files that survive what goes wrong in them."""
