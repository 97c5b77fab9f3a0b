"""The folder of a demo: its settings file, as anybody would write it, and its secrets."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from pathlib import Path

from deploy.demo.estate import Site

SETTINGS = "facetally.toml"
_WEBHOOK_SECRET = "webhook.secret"  # noqa: S105 - the name of a file


def write_settings(
    folder: Path, servers: str, url: str, secret: str, sites: Sequence[Site]
) -> Path:
    """Write the settings of the demo into *folder* and return their file."""
    hidden = folder / _WEBHOOK_SECRET
    hidden.touch(mode=0o600)
    hidden.write_text(secret + "\n", encoding="ascii")
    parts = [_HEAD.format(servers=servers, url=url, secret_file=_WEBHOOK_SECRET)]
    for site in sites:
        parts.append(_TOPIC.format(name=site.topic, partitions=site.partitions))
        parts += [
            _RESEARCH.format(processor=site.processor, system=system)
            for system in sorted(site.research)
        ]
    file = folder / SETTINGS
    file.write_text("\n".join(parts), encoding="utf-8")
    return file


def new_webhook_secret() -> str:
    """Return a secret as the Standard Webhooks specification has it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


_HEAD = """\
# Written by `facetally demo`. Its broker is gone with the demo; the database stays, so that
# status, duties, positions, verify and the like answer with this file.
database_url = "sqlite:///facetally.db"
secret_file = "facetally.secret"
bootstrap_servers = "{servers}"
group = "facetally-demo"
# Tansu says of a log that it ends with the first record of its last batch, and to begin again in
# the middle would look like a gap: a machine that is busy for seconds must not lose the partitions.
session_timeout_seconds = 30
metrics_address = "127.0.0.1:0"

[[channels]]
kind = "webhook"
name = "webhook"
url = "{url}"
allow_private = true
secret_file = "{secret_file}"

[[channels]]
kind = "log"
name = "log"
"""

_TOPIC = """\
[[topics]]
name = "{name}"
source = "cloudevents"
create_partitions = {partitions}
"""

_RESEARCH = """\
[[systems]]
processor = "{processor}"
system = "{system}"
purpose = "research"
reason = "algorithm training, decision 2026-03"
by = "privacy office"
"""
