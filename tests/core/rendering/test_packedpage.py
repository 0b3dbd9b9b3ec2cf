"""A page within a page: it comes out whole, and only its own scripts are named."""

import base64
import gzip
import hashlib
import re

from facekit.core.rendering.packedpage import packed, policy, script_hashes

PAGE = "<html><script>let a = '<b>';\r\nlet b;</script><SCRIPT type=\"module\">c()</SCRIPT></html>"


def source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def test_the_page_comes_out_whole() -> None:
    content = re.search(r'id="packed">([^<]*)</script>', packed(PAGE))
    assert content is not None
    assert gzip.decompress(base64.b64decode(content[1])).decode() == PAGE.replace("\r\n", "\n")
    assert packed(PAGE) == packed(PAGE)


def test_every_script_that_runs_has_its_hash() -> None:
    hashes = script_hashes(PAGE)
    assert source("let a = '<b>';\nlet b;") in hashes and source("c()") in hashes
    unpacker = re.findall(r"<script>(.*?)</script>", packed(PAGE), re.DOTALL)
    assert [source(one) for one in unpacker] == [hashes[0]]
    assert len(hashes) == 3


def test_scripts_from_elsewhere_are_not_allowed() -> None:
    assert len(script_hashes('<script src="http://x.example/a.js"></script>')) == 1


def test_the_policy_names_hashes_and_nothing_else() -> None:
    without, within = policy([]), policy([PAGE, PAGE])
    assert "script-src" not in without and "default-src 'none'" in without
    allowed = next(p for p in within.split("; ") if p.startswith("script-src "))
    assert allowed.split()[1:] == list(script_hashes(PAGE))
    for loose in ("unsafe-eval", "http", "*", "'self'"):
        assert loose not in within
    assert "'unsafe-inline'" not in allowed
