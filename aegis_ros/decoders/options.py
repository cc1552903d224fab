"""Options that several decoders have, each declared once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aegis_ros.config.keys import Shown

__all__ = ["AcrossClasses", "Iou", "Labels", "MaxBoxes", "Normalized", "TensorName", "Threshold"]

Threshold = Annotated[float, Field(ge=0.0, le=1.0, description="least score")]
Iou = Annotated[
    float, Field(ge=0.0, le=1.0, description="overlap above which the lesser of two boxes goes")
]
AcrossClasses = Annotated[
    bool, Field(description="boxes of different classes suppress each other too")
]
MaxBoxes = Annotated[int, Field(ge=1, le=3000, description="largest number of boxes")]
Labels = Annotated[
    list[str] | str,
    Field(description="names of the classes, in the network's order"),
    Shown("those in the file", "list of names, `coco` or `coco91`"),
]
Normalized = Annotated[
    bool, Field(description="coordinates are 0..1 and not pixels of the network's input")
]
TensorName = Annotated[str, Field(description="output to read"), Shown("the first")]
