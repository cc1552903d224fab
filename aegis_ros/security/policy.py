"""Writes permissions as a policy of SROS2, of which `ros2 security` makes keys and permissions."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from aegis_ros.security.permissions import Enclave, Profile

__all__ = ["policy"]

# Element, attribute, name of each entry; by the attribute of a profile.
_KINDS = {
    "publish": ("topics", "topic"),
    "subscribe": ("topics", "topic"),
    "reply": ("services", "service"),
    "request": ("services", "service"),
    "execute": ("actions", "action"),
    "call": ("actions", "action"),
}


def policy(enclaves: Iterable[Enclave]) -> str:
    """Return the text of a policy file; what it does not name is denied."""
    root = ElementTree.Element("policy", version="0.2.0")
    listed = ElementTree.SubElement(root, "enclaves")
    for enclave in enclaves:
        element = ElementTree.SubElement(listed, "enclave", path=enclave.path)
        profiles = ElementTree.SubElement(element, "profiles")
        for each in enclave.profiles:
            _add(profiles, each)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _add(profiles: ElementTree.Element, profile: Profile) -> None:
    element = ElementTree.SubElement(profiles, "profile", ns=profile.namespace, node=profile.node)
    for use, (group, entry) in _KINDS.items():
        names = sorted(set(getattr(profile, use)))
        if names:
            allowed = ElementTree.SubElement(element, group, {use: "ALLOW"})
            for name in names:
                ElementTree.SubElement(allowed, entry).text = name
