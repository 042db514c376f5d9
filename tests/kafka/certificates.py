"""An authority and certificates that it signed, made by openssl when a test asks for them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Files of one certificate."""

    certificate: Path
    key: Path
    bundle: Path
    """Key and certificate in one file, as Kafka reads them."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority for one test session."""

    folder: Path

    @property
    def file(self) -> Path:
        """The authority's own certificate, which clients are told to trust."""
        return self.folder / "ca.pem"

    def issue(self, name: str, host: str = "localhost", days: int = 2) -> Certificate:
        """Sign a certificate for a host; with -1 days it expired yesterday."""
        key, request, signed, bundle = (
            self.folder / f"{name}.{end}" for end in ("key", "csr", "pem", "bundle")
        )
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:{host}\n", encoding="ascii")
        _new_key(key)
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        signer = ("-CA", self.file, "-CAkey", self.folder / "ca.key", "-CAcreateserial")
        _openssl(
            "x509", "-req", "-in", request, *signer, "-days", days, "-extfile", extensions, "-out", signed
        )
        bundle.write_text(key.read_text("ascii") + signed.read_text("ascii"), encoding="ascii")
        return Certificate(signed, key, bundle)


def make_authority(folder: Path) -> Authority:
    """Make an authority whose files live in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _new_key(folder / "ca.key")
    subject = ("-subj", "/CN=Seawall tests", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl(
        "req", "-x509", "-new", "-key", folder / "ca.key", *subject, "-days", 2, "-out", folder / "ca.pem"
    )
    return Authority(folder)


def _new_key(path: Path) -> None:
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, timeout=30)
