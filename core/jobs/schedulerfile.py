"""`scheduler.json`: where a cluster's scheduler listens, and the certificates that it asks for."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ... import __version__
from ..devices import require
from ..errors import InputError, SchemaError
from ..files import read_json, stays_inside, write_private_text
from .certificates import EXTRA, Certificates

SCHEDULER_FILE = "scheduler.json"
_FORMAT, _VERSION = "facekit-scheduler", 1
_PROTOCOLS = ("tls", "tcp")


@dataclass(frozen=True, kw_only=True)
class SchedulerAddress:
    """How to reach a scheduler."""

    address: str
    """`tls://host:port`."""
    certificates: Certificates | None
    """None: those of Dask's own configuration."""

    @property
    def host(self) -> str:
        """Name or number of its machine."""
        return urlsplit(self.address).hostname or ""


def write_scheduler_file(folder: Path, address: str, certificates: Certificates) -> Path:
    """Write where the scheduler listens; the certificates lie in the same folder."""
    values = {
        "format": _FORMAT,
        "version": _VERSION,
        "facekit": __version__,
        "address": address,
        "process": os.getpid(),
        "certificates": {
            "authority": certificates.authority.name,
            "certificate": certificates.certificate.name,
            "key": certificates.key.name,
        },
    }
    path = folder / SCHEDULER_FILE
    write_private_text(path, json.dumps(values, indent=1) + "\n")
    return path


def load_scheduler_file(path: Path) -> SchedulerAddress:
    """Read a scheduler file; a folder stands for the one in it.

    Raises
    ------
    InputError
        It is absent, or its certificates are absent or open to others.
    SchemaError
        It is something else, or a name in it leads out of its folder.
    """
    path = path / SCHEDULER_FILE if path.is_dir() else path
    values = read_json(path, format_name=_FORMAT, version=_VERSION)
    address, names = values.get("address"), values.get("certificates")
    if not isinstance(address, str) or not _is_address(address):
        raise SchemaError(f"{path}: address: tls://host:port expected, got {address!r}")
    kinds = ("authority", "certificate", "key")
    if not isinstance(names, dict) or not all(
        isinstance(names.get(kind), str) and stays_inside(names[kind]) for kind in kinds
    ):
        raise SchemaError(f"{path}: certificates: names of files in its folder expected")
    certificates = Certificates(**{kind: path.parent / names[kind] for kind in kinds})
    certificates.check_private()
    return SchedulerAddress(address=address, certificates=certificates)


def scheduler_of(text: str) -> SchedulerAddress:
    """Read what the user gave: a scheduler file, its folder, or an address.

    Raises
    ------
    InputError
        It is neither.
    """
    if "://" in text:
        if not _is_address(text):
            raise InputError(f"scheduler {text!r}: give its file, or tls://host:port")
        return SchedulerAddress(address=text, certificates=None)
    return load_scheduler_file(Path(text))


def security_of(certificates: Certificates | None) -> Any:
    """Return what Dask needs to speak to a cluster with these certificates, in any role."""
    distributed = require("distributed", extra=EXTRA)
    if certificates is None:
        return distributed.Security()
    roles = ("client", "scheduler", "worker")
    return distributed.Security(
        require_encryption=True,
        tls_ca_file=str(certificates.authority),
        **{f"tls_{role}_cert": str(certificates.certificate) for role in roles},
        **{f"tls_{role}_key": str(certificates.key) for role in roles},
    )


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in _PROTOCOLS and bool(parts.hostname) and parts.port is not None
    except ValueError:  # the port is no number
        return False
