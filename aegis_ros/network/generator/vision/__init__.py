"""Vision-language models: an encoder whose rows stand for tokens of a prompt."""
