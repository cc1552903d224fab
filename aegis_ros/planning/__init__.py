"""From a specification to an answer: admission, cutting, and tests of whole task sets."""
