"""Keys are their owner's alone, and a scheduler file leads to them and nowhere else."""

import stat
from pathlib import Path

import pytest

from facekit.core.errors import InputError, SchemaError
from facekit.core.files import read_json, write_json
from facekit.core.jobs.certificates import make_certificates
from facekit.core.jobs.schedulerfile import (
    load_scheduler_file,
    scheduler_of,
    write_scheduler_file,
)

x509 = pytest.importorskip("cryptography.x509")
InvalidSignature = pytest.importorskip("cryptography.exceptions").InvalidSignature


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_modes_whatever_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    folder.mkdir(mode=0o755)
    made = make_certificates(folder)
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    assert {path.name for path in folder.iterdir()} == {
        "authority.pem", "certificate.pem", "key.pem",
    }  # fmt: skip
    assert made.key.read_text().startswith("-----BEGIN PRIVATE KEY")


def test_the_authority_signed_it_and_its_key_is_gone(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "cluster")
    authority, certificate = (
        x509.load_pem_x509_certificate(path.read_bytes())
        for path in (made.authority, made.certificate)
    )
    certificate.verify_directly_issued_by(authority)
    keys = [path for path in (tmp_path / "cluster").iterdir() if b"PRIVATE" in path.read_bytes()]
    assert keys == [made.key]
    assert authority.public_key() != certificate.public_key()


def test_good_ones_are_kept_and_others_made_anew(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    key = made.key.read_bytes()
    make_certificates(tmp_path)
    assert made.key.read_bytes() == key
    made.certificate.write_text("no certificate")
    make_certificates(tmp_path)
    assert made.key.read_bytes() != key
    made.key.chmod(0o644)  # others may have read it
    key = made.key.read_bytes()
    make_certificates(tmp_path)
    assert made.key.read_bytes() != key
    assert mode(made.key) == 0o600


def test_those_of_two_clusters_differ(tmp_path: Path) -> None:
    one, other = (make_certificates(tmp_path / name) for name in "ab")
    certificate = x509.load_pem_x509_certificate(other.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(one.authority.read_bytes())
    with pytest.raises(InvalidSignature):  # of the same name, by another key
        certificate.verify_directly_issued_by(authority)


def test_a_scheduler_file_comes_back(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    file = write_scheduler_file(tmp_path, "tls://10.0.0.7:4000", made)
    assert mode(file) == 0o600
    for given in (file, tmp_path):
        found = load_scheduler_file(given)
        assert (found.address, found.certificates, found.host) == (
            "tls://10.0.0.7:4000", made, "10.0.0.7",
        )  # fmt: skip


def test_an_open_key_is_refused(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    file = write_scheduler_file(tmp_path, "tls://10.0.0.7:4000", made)
    made.key.chmod(0o640)
    with pytest.raises(InputError, match="others can read this key"):
        load_scheduler_file(file)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("address", "10.0.0.7", "tls://host:port expected"),
        ("address", "http://10.0.0.7:80", "tls://host:port expected"),
        ("address", "tls://10.0.0.7:port", "tls://host:port expected"),
        ("certificates", {"authority": "/etc/a", "certificate": "b", "key": "c"}, "in its folder"),
        ("certificates", {"authority": "../a", "certificate": "b", "key": "c"}, "in its folder"),
        ("certificates", None, "in its folder"),
        ("version", 7, "version 7"),
    ],
)
def test_a_wrong_scheduler_file_is_told(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    file = write_scheduler_file(tmp_path, "tls://10.0.0.7:4000", make_certificates(tmp_path))
    write_json(file, read_json(file) | {key: value})
    with pytest.raises(SchemaError, match=message):
        load_scheduler_file(file)


def test_what_is_no_scheduler(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        scheduler_of(str(tmp_path / "none.json"))
    with pytest.raises(InputError, match="give its file, or tls://host:port"):
        scheduler_of("ftp://host:1")
    assert scheduler_of("tls://host:1").certificates is None
