import numpy as np
import pytest

from aegis_ros.demo.overview import contact_sheet


@pytest.mark.parametrize("count", [1, 3, 4])
def test_pictures_of_any_size_stand_on_one_sheet(count: int) -> None:
    shapes = [(10, 4000, 3), (3000, 7, 3), (480, 640, 3), (1, 1, 3)]
    sheet = contact_sheet({f"p{at}": np.full(shapes[at], 200, np.uint8) for at in range(count)})
    assert sheet.shape == (360 * -(-count // 3), 1440, 3)
    for at in range(count):
        row, column = divmod(at, 3)
        tile = sheet[row * 360 + 28 : (row + 1) * 360, column * 480 : (column + 1) * 480]
        assert (tile == 200).any()
