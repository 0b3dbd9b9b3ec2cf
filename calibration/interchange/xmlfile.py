"""XML in and out, without what makes XML unsafe: documents with a DOCTYPE are refused.

Entities can only be declared in a DOCTYPE; without one nothing expands and nothing is fetched.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from xml.parsers import expat

from ...core.errors import InputError, SchemaError
from ...core.files import write_bytes


def read_xml(path: Path) -> ET.Element:
    """Return the root element of an XML file.

    Raises
    ------
    InputError
        The file is absent or no XML.
    SchemaError
        It has a DOCTYPE.
    """

    def refuse(*_: object) -> None:
        raise SchemaError(f"{path}: has a DOCTYPE, which camera files never need; remove it")

    try:
        content = path.read_bytes()
        checker = expat.ParserCreate()
        checker.StartDoctypeDeclHandler = refuse
        checker.Parse(content, True)
        return ET.fromstring(content)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, expat.ExpatError, ET.ParseError, LookupError, ValueError) as error:
        raise InputError(f"{path}: not readable as XML ({error})") from error


def write_xml(path: Path, root: ET.Element) -> None:
    """Write an indented UTF-8 document, atomically."""
    ET.indent(root)
    write_bytes(path, ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def text_of(values: Iterable[float]) -> str:
    """Return numbers as text that reads back to the same doubles, parted by spaces."""
    return " ".join(repr(float(value)) for value in values)
