"""Certificates of one cluster: who holds them may run code on all of its machines.

An authority is made, signs one certificate for scheduler, workers and clients, and its own key is
forgotten at once: nobody can sign a further one. All lie in a folder of the owner alone.
"""

import datetime
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..devices import require
from ..errors import InputError
from ..files import write_private_text

EXTRA = "cluster"
_AUTHORITY, _CERTIFICATE, _KEY = "authority.pem", "certificate.pem", "key.pem"
_VALID_DAYS = 365
_LEAST_DAYS = 14  # left when a cluster starts: a run may be long


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Files that every process of a cluster needs."""

    authority: Path
    certificate: Path
    key: Path

    def check_private(self) -> None:
        """Refuse a key that others can read.

        Raises
        ------
        InputError
            It is not there, or others may read it.
        """
        for path in (self.authority, self.certificate, self.key):
            if not path.is_file():
                raise InputError(f"{path}: no such file; start the cluster anew")
        if stat.S_IMODE(self.key.stat().st_mode) & 0o077:
            raise InputError(
                f"{self.key}: others can read this key and run code as you; delete its folder, "
                "then start the cluster anew"
            )


def private_folder(folder: Path) -> None:
    """Make a folder that its owner alone can look into, or make one so that is there.

    Raises
    ------
    InputError
        It is somebody else's.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise InputError(f"{folder}: belongs to another user; give a folder of your own")
    folder.chmod(0o700)


def certificates_in(folder: Path) -> Certificates:
    """Return the names of the files in a folder."""
    return Certificates(
        authority=folder / _AUTHORITY, certificate=folder / _CERTIFICATE, key=folder / _KEY
    )


def make_certificates(folder: Path) -> Certificates:
    """Leave certificates in a folder, mode 0700, the files 0600; good ones there are kept.

    Raises
    ------
    MissingDependencyError
        cryptography is not installed.
    InputError
        The folder belongs to another user.
    """
    x509 = require("cryptography.x509", extra=EXTRA)
    private_folder(folder)
    names = certificates_in(folder)
    if _still_good(names, x509):
        return names
    texts = _signed(x509)
    # the key last: without it nothing is taken for complete
    for path, text in zip((names.authority, names.certificate, names.key), texts, strict=True):
        write_private_text(path, text)
    return names


def _still_good(names: Certificates, x509: Any) -> bool:
    try:
        names.check_private()
        authority, certificate = (
            x509.load_pem_x509_certificate(path.read_bytes())
            for path in (names.authority, names.certificate)
        )
        certificate.verify_directly_issued_by(authority)
        load = require("cryptography.hazmat.primitives.serialization", extra=EXTRA)
        key = load.load_pem_private_key(names.key.read_bytes(), password=None)
        matching = key.public_key() == certificate.public_key()
    except Exception:  # whatever is wrong with them: they are made anew
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return bool(matching and left > datetime.timedelta(days=_LEAST_DAYS))


def _signed(x509: Any) -> tuple[str, str, str]:
    """Return a new authority, a certificate signed by it and the certificate's key, as PEM."""
    ec = require("cryptography.hazmat.primitives.asymmetric.ec", extra=EXTRA)
    hashes = require("cryptography.hazmat.primitives.hashes", extra=EXTRA)
    serialization = require("cryptography.hazmat.primitives.serialization", extra=EXTRA)
    signing, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _named(x509, "facekit cluster authority")
    subject = _named(x509, "facekit cluster")
    identifier = x509.SubjectKeyIdentifier.from_public_key(signing.public_key())
    authority = (
        _begun(x509, issuer, issuer, signing)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(x509, signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(signing, hashes.SHA256())
    )
    both = [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _begun(x509, subject, issuer, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(x509, signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(signing, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = [one.public_bytes(serialization.Encoding.PEM) for one in (authority, certificate)]
    return public[0].decode(), public[1].decode(), private.decode()


def _named(x509: Any, name: str) -> Any:
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])


def _begun(x509: Any, subject: Any, issuer: Any, key: Any) -> Any:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # clocks of machines differ, by a time zone as well
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
    )


def _usage(x509: Any, *, signs: bool) -> Any:
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs,
        content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
