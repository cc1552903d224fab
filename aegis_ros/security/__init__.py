"""What each node of a robot's configuration may publish, hear, serve and call, for SROS2."""

from aegis_ros.security.names import Names
from aegis_ros.security.permissions import COMPANIONS, ROOT, Enclave, Profile, enclaves
from aegis_ros.security.policy import policy

__all__ = ["COMPANIONS", "ROOT", "Enclave", "Names", "Profile", "enclaves", "policy"]
