"""An HTML page within another: squeezed, and with its scripts known by their hashes.

A page with a mesh in it halves when it is compressed. `packed` returns a small page that
unpacks the large one in the browser and becomes it; both run under a policy that lets only the
scripts run whose hashes it names, and that fetches nothing.

Source
------
W3C Content Security Policy Level 3, sections 6.7.3 (hashes of inline scripts) and 7.8 (a frame's
`srcdoc` inherits the policy of the page around it).
"""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterable

_SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL | re.IGNORECASE)
_LEVEL = 9
_UNPACK = """(async () => {
const text = document.getElementById("packed").textContent;
const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
const page = await new Response(plain).text();
document.open(); document.write(page); document.close();
})().catch(e => { document.getElementById("wait").textContent = "No 3D view: " + e; });"""


def packed(page: str) -> str:
    """Return a page that unpacks `page` and becomes it; the same text each time."""
    content = base64.b64encode(gzip.compress(_normal(page).encode(), _LEVEL, mtime=0)).decode()
    return (
        '<!DOCTYPE html><meta charset="utf-8"><p id="wait">The 3D view needs JavaScript.</p>'
        f'<script type="text/plain" id="packed">{content}</script><script>{_UNPACK}</script>'
    )


def script_hashes(page: str) -> tuple[str, ...]:
    """Return the sources, as a policy's `script-src` names them, of a page and its unpacker.

    Scripts that the page fetches have none: the policy refuses them.
    """
    inside = [
        content
        for attributes, content in _SCRIPT.findall(_normal(page))
        if "src=" not in attributes and "text/plain" not in attributes
    ]
    return tuple(dict.fromkeys(_source(content) for content in [_UNPACK, *inside]))


def policy(pages: Iterable[str]) -> str:
    """Return the policy of a page that embeds others: nothing is fetched, known scripts run.

    Parameters
    ----------
    pages : iterable of str
        The embedded pages before they were packed; none: no script runs at all.
    """
    sources = tuple(dict.fromkeys(one for page in pages for one in script_hashes(page)))
    parts = ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data: blob:"]
    if sources:  # a mesh within a page is read as data: by three.js
        parts += [f"script-src {' '.join(sources)}", "connect-src data: blob:"]
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


def _normal(page: str) -> str:
    """Return text as browsers read it: they hash scripts after joining CR and LF."""
    return page.replace("\r\n", "\n").replace("\r", "\n")


def _source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
