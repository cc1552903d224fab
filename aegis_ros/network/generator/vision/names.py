"""Names of the tensors through which images come into a model that was prepared."""

from __future__ import annotations

__all__ = ["PIXELS", "ROWS", "ROW_OF_TOKEN"]

PIXELS = "image_pixels"
"""uint8 [height, columns, 3]: what the encoder takes."""
ROWS = "image_rows"
"""[rows, width]: what it makes, and the decoder takes."""
ROW_OF_TOKEN = "image_row_of_token"
"""int64 [batch, tokens]: which of the rows a token stands for, or -1."""
