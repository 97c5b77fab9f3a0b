"""A certificate authority of the tests, and certificates for names."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Authority(NamedTuple):
    certificate: Path
    key: Path


def authority(folder: Path) -> Authority:
    """Make an authority that signs."""
    made = Authority(folder / "authority.pem", folder / "authority.key")
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", str(made.key), "-out", str(made.certificate)),
    )
    return made


def certificate_for(by: Authority, *names: str) -> tuple[Path, Path]:
    """Return the certificate of *names* and its key, signed *by* that authority."""
    folder = by.certificate.parent
    key, request, made = (folder / f"server.{end}" for end in ("key", "csr", "pem"))
    extensions = folder / "server.ext"
    extensions.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
    _openssl(
        *("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server"),
        *("-keyout", str(key), "-out", str(request)),
    )
    _openssl(
        *("x509", "-req", "-days", "2", "-in", str(request), "-extfile", str(extensions)),
        *("-CA", str(by.certificate), "-CAkey", str(by.key), "-CAcreateserial"),
        *("-out", str(made)),
    )
    return made, key


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
