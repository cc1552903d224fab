"""A keystore as `ros2 security` makes it of a policy, with openssl alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

_Topics = tuple[tuple[str, str, bool], ...]


def _of_actions(service: _Topics) -> _Topics:
    return tuple(
        (prefix, f"/_action/{name}{suffix}", published)
        for name in ("cancel_goal", "get_result", "send_goal")
        for prefix, suffix, published in service
    )


# Which topics of DDS a use of the ROS graph is: prefix, suffix and whether they are published.
# As in sros2/policy/templates/dds/permissions.xsl.
_SERVER = (("rq", "Request", False), ("rr", "Reply", True))
_CLIENT = (("rq", "Request", True), ("rr", "Reply", False))
_USES = {
    "publish": (("rt", "", True),),
    "subscribe": (("rt", "", False),),
    "reply": _SERVER,
    "request": _CLIENT,
    "execute": (
        *_of_actions(_SERVER),
        ("rt", "/_action/feedback", True),
        ("rt", "/_action/status", True),
    ),
    "call": (
        *_of_actions(_CLIENT),
        ("rt", "/_action/feedback", False),
        ("rt", "/_action/status", False),
    ),
}
_GRAPH = "ros_discovery_info"  # every ROS node writes and reads it

# The defaults of sros2.
GOVERNANCE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation=
  "http://www.omg.org/spec/DDS-SECURITY/20170901/omg_shared_ca_governance.xsd">
 <domain_access_rules><domain_rule>
  <domains><id>{domain}</id></domains>
  <allow_unauthenticated_participants>false</allow_unauthenticated_participants>
  <enable_join_access_control>true</enable_join_access_control>
  <discovery_protection_kind>ENCRYPT</discovery_protection_kind>
  <liveliness_protection_kind>ENCRYPT</liveliness_protection_kind>
  <rtps_protection_kind>SIGN</rtps_protection_kind>
  <topic_access_rules><topic_rule>
   <topic_expression>*</topic_expression>
   <enable_discovery_protection>true</enable_discovery_protection>
   <enable_liveliness_protection>true</enable_liveliness_protection>
   <enable_read_access_control>true</enable_read_access_control>
   <enable_write_access_control>true</enable_write_access_control>
   <metadata_protection_kind>ENCRYPT</metadata_protection_kind>
   <data_protection_kind>ENCRYPT</data_protection_kind>
  </topic_rule></topic_access_rules>
 </domain_rule></domain_access_rules>
</dds>
"""


def permissions(policy: str) -> dict[str, tuple[set[str], set[str]]]:
    """Return which topics of DDS each enclave of a policy may publish, and which subscribe."""
    found = {}
    for enclave in ElementTree.fromstring(policy.encode()).iter("enclave"):
        topics = [*_topics(enclave), (_GRAPH, True), (_GRAPH, False)]
        found[enclave.attrib["path"]] = (
            {name for name, published in topics if published},
            {name for name, published in topics if not published},
        )
    return found


def _topics(enclave: ElementTree.Element) -> Iterator[tuple[str, bool]]:
    for profile in enclave.iter("profile"):
        for group in profile:
            for use, value in group.attrib.items():
                assert value == "ALLOW"
                for entry in group:
                    for prefix, suffix, published in _USES[use]:
                        yield f"{prefix}{entry.text}{suffix}", published


class Keystore:
    """Keys and permissions of all enclaves of a policy.

    Args:
        folder: is created.
        policy: text of the policy.
        domain: ROS domain that they hold in.
    """

    def __init__(self, folder: Path, policy: str, domain: int) -> None:
        self._folder, self._domain = folder, domain
        folder.mkdir()
        self._new_key("ca.key")
        subject = ("-subj", "/CN=a certificate authority", "-days", "2")
        self._openssl("req", "-x509", "-new", "-key", "ca.key", "-out", "ca.pem", *subject)
        self._sign("governance", GOVERNANCE.format(domain=domain), folder)
        for path, (publish, subscribe) in permissions(policy).items():
            self._enclave(path, publish, subscribe)

    def enclave(self, path: str) -> Path:
        """Return the folder of an enclave."""
        return self._folder / path.lstrip("/")

    def _enclave(self, path: str, publish: set[str], subscribe: set[str]) -> None:
        folder = self.enclave(path)
        folder.mkdir(parents=True)
        self._new_key(str(folder / "key.pem"))
        key, request, certificate = (str(folder / f"{name}.pem") for name in ("key", "req", "cert"))
        subject = "/CN=" + path.replace("/", r"\/")
        self._openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        authority = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        self._openssl("x509", "-req", "-in", request, *authority, "-out", certificate)
        for name in ("identity_ca", "permissions_ca"):
            (folder / f"{name}.cert.pem").symlink_to(self._folder / "ca.pem")
        (folder / "governance.p7s").symlink_to(self._folder / "governance.p7s")
        now = datetime.now(UTC)
        text = f"""<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation=
  "http://www.omg.org/spec/DDS-SECURITY/20170901/omg_shared_ca_permissions.xsd">
 <permissions><grant name="{path}">
  <subject_name>CN={path}</subject_name>
  <validity>
   <not_before>{now - timedelta(days=1):%Y-%m-%dT%H:%M:%S}</not_before>
   <not_after>{now + timedelta(days=2):%Y-%m-%dT%H:%M:%S}</not_after>
  </validity>
  <allow_rule>
   <domains><id>{self._domain}</id></domains>
   <publish><topics>{_elements(publish)}</topics></publish>
   <subscribe><topics>{_elements(subscribe)}</topics></subscribe>
  </allow_rule>
  <default>DENY</default>
 </grant></permissions>
</dds>
"""
        self._sign("permissions", text, folder)

    def _new_key(self, name: str) -> None:
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name)

    def _sign(self, name: str, text: str, folder: Path) -> None:
        plain = folder / f"{name}.xml"
        plain.write_text(text)
        signer = ("-signer", "ca.pem", "-inkey", "ca.key", "-outform", "SMIME")
        files = ("-in", str(plain), "-out", str(folder / f"{name}.p7s"))
        self._openssl("smime", "-sign", "-text", *signer, *files)

    def _openssl(self, *words: str) -> None:
        subprocess.run(
            ["openssl", *words], cwd=self._folder, check=True, capture_output=True, timeout=60
        )


def _elements(topics: set[str]) -> str:
    return "".join(f"<topic>{topic}</topic>" for topic in sorted(topics))
