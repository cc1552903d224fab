"""From a specification to an answer: admission, cuts, and whole task sets judged at once."""
