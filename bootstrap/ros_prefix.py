"""Give a venv that holds the ROS wheels the ``local_setup.*`` files of a ROS prefix."""

import sys
from pathlib import Path

from ament_package.templates import (
    configure_file,
    get_prefix_level_template_names,
    get_prefix_level_template_path,
)


def main() -> None:
    """Render the prefix-level templates of ament into the running venv."""
    prefix = Path(sys.prefix)
    variables = {
        "CMAKE_INSTALL_PREFIX": str(prefix),
        "ament_package_PYTHON_EXECUTABLE": sys.executable,
        "SKIP_PARENT_PREFIX_PATH": "1",
    }
    for name in get_prefix_level_template_names():
        template = get_prefix_level_template_path(name)
        if name.endswith(".in"):
            text = configure_file(template, variables)
        else:
            text = Path(template).read_text()
        target = name.removesuffix(".in")
        if not target.endswith(".bat"):
            (prefix / target).write_text(text)


if __name__ == "__main__":
    main()
