"""Run a robot's neural networks on shared accelerators with deadlines that hold, and say why.

Usable as a library without ROS (analysis, simulation, admission); the ROS 2 nodes are in
:mod:`aegis_ros.nodes`.
"""

from pkgutil import extend_path

# The generated message modules may be installed elsewhere on the path under the same name.
__path__ = extend_path(__path__, __name__)

__version__ = "0.2.0"
