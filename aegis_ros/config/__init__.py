"""The YAML face of :mod:`aegis_ros.spec`: reads, validates, explains what is wrong.

Names are imported when they are asked for: the children that work on networks read JSON, and do
without the models of the keys, which take longer to load than a small network to prepare.
"""

from typing import TYPE_CHECKING

from aegis_ros.config.files import default_state_dir, expanded, read_text, regular_only
from aegis_ros.config.json_reader import read_json
from aegis_ros.on_demand import on_demand

if TYPE_CHECKING:
    from aegis_ros.config.convert import to_mapping
    from aegis_ros.config.keys import Number
    from aegis_ros.config.load import (
        load_config,
        parse_config,
        parse_placed,
        parse_task,
        read_config,
        restored_task,
    )
    from aegis_ros.config.mistakes import explain, suggest
    from aegis_ros.config.places import Places
    from aegis_ros.config.renamed import with_present_names
    from aegis_ros.config.several import together
    from aegis_ros.config.task_model import MESSAGE_TYPES
    from aegis_ros.config.yaml_reader import read_yaml

__all__ = [
    "MESSAGE_TYPES",
    "Number",
    "Places",
    "default_state_dir",
    "expanded",
    "explain",
    "load_config",
    "parse_config",
    "parse_placed",
    "parse_task",
    "read_config",
    "read_json",
    "read_text",
    "read_yaml",
    "regular_only",
    "restored_task",
    "suggest",
    "to_mapping",
    "together",
    "with_present_names",
]

__getattr__ = on_demand(
    __name__,
    {
        "MESSAGE_TYPES": "task_model",
        "Number": "keys",
        "Places": "places",
        "explain": "mistakes",
        "load_config": "load",
        "parse_config": "load",
        "parse_placed": "load",
        "parse_task": "load",
        "read_config": "load",
        "read_yaml": "yaml_reader",
        "restored_task": "load",
        "suggest": "mistakes",
        "to_mapping": "convert",
        "together": "several",
        "with_present_names": "renamed",
    },
)
