"""Give a venv holding the ros-* wheels the local_setup.* of a ROS prefix."""
import sys
from pathlib import Path
from ament_package.templates import (
    configure_file, get_prefix_level_template_names, get_prefix_level_template_path)
prefix = Path(sys.prefix)
for name in get_prefix_level_template_names():
    tpl = get_prefix_level_template_path(name)
    if name.endswith('.in'):
        text = configure_file(tpl, {'CMAKE_INSTALL_PREFIX': str(prefix),
            'ament_package_PYTHON_EXECUTABLE': sys.executable,
            'SKIP_PARENT_PREFIX_PATH': '1'})
        name = name[:-3]
    else:
        text = Path(tpl).read_text()
    if name.endswith('.bat'): continue
    (prefix / name).write_text(text)

