"""Who is let in to a view: by host, origin and key, each alone enough to be refused."""

import pytest

from facekit.benchmarks.view.guard import Guard, is_loopback

PORT = 8080
GUARD = Guard(host="127.0.0.1", key="the-key")
COOKIE = f"facekit-view-{PORT}=the-key"


class Headers:
    """A request's headers: name -> values, as a multi-valued mapping without case."""

    def __init__(self, **values: str | list[str] | None) -> None:
        wanted = {"Host": f"127.0.0.1:{PORT}", "Cookie": COOKIE, **values}
        self.values = {k.lower(): [v] if isinstance(v, str) else v or [] for k, v in wanted.items()}

    def get_all(self, key: str) -> list[str]:
        return self.values.get(key.lower(), [])


def refused(path: str = "/", guard: Guard = GUARD, **headers: str | list[str] | None) -> str:
    return guard.refusal(path, Headers(**headers), port=PORT) or ""


def test_the_page_and_its_websocket_are_let_in() -> None:
    assert not refused()
    assert not refused("/?key=the-key", Cookie=None)
    assert not refused(Host=f"localhost:{PORT}", Origin=f"http://localhost:{PORT}")
    assert not refused(Upgrade="websocket", Origin=f"http://127.0.0.1:{PORT}")


@pytest.mark.parametrize(("bound", "named"), [("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")])
def test_an_address_that_it_is_bound_to_is_its_own(bound: str, named: str) -> None:
    guard = Guard(host=bound, key="the-key")
    host = f"{named}:{PORT}"
    assert not refused(guard=guard, Host=host, Origin=f"http://{host}", Upgrade="websocket")
    assert refused(guard=guard, Host=f"127.0.0.3:{PORT}")


@pytest.mark.parametrize(
    "origin",
    [
        "http://elsewhere.example",
        "null",
        f"https://127.0.0.1:{PORT}",
        "http://127.0.0.1",
        f"http://127.0.0.1:{PORT + 1}",
        f"http://localhost:{PORT}",
        f"http://127.0.0.1:{PORT}.elsewhere.example",
        f"http://127.0.0.1:{PORT}@elsewhere.example",
        "",
    ],
)
@pytest.mark.parametrize("upgrade", [None, "websocket", "WebSocket"])
def test_another_origin_is_refused_even_with_the_key(origin: str, upgrade: str | None) -> None:
    assert "another origin" in refused("/?key=the-key", Origin=origin, Upgrade=upgrade)


def test_a_websocket_without_one_origin_is_refused() -> None:
    ours = f"http://127.0.0.1:{PORT}"
    assert "name its origin" in refused(Upgrade="websocket")
    assert "name its origin" in refused(Upgrade="websocket", Origin=[ours, ours])


@pytest.mark.parametrize(
    "host",
    [
        None, "", "127.0.0.1", "127.0.0.1:81", f"elsewhere.example:{PORT}",
        f"127.0.0.1.elsewhere.example:{PORT}", [f"127.0.0.1:{PORT}", f"127.0.0.1:{PORT}"],
    ],
)  # fmt: skip
def test_a_name_that_was_pointed_here_is_refused(host: str | list[str] | None) -> None:
    assert "another host" in refused(Host=host)


@pytest.mark.parametrize(
    ("path", "cookie"),
    [
        ("/", None),
        ("/?key=", None),
        ("/?key=the-kez", None),
        ("/?key=the-key&key=the-key", None),
        ("/", "facekit-view-8081=the-key"),
        ("/", "facekit-view-8080=the-ke"),
        ("/", "x=facekit-view-8080=the-key"),
        ("/?key=%C3%A9", "facekit-view-8080=\xe9"),
    ],
)
def test_without_the_key_nobody_is_let_in(path: str, cookie: str | None) -> None:
    assert "key is missing" in refused(path, Cookie=cookie)


def test_every_server_has_a_key_of_its_own_that_its_text_does_not_show() -> None:
    one, other = Guard(host="127.0.0.1"), Guard(host="127.0.0.1")
    assert one.key != other.key and len(one.key) >= 32
    assert one.key not in repr(one)
    cookie = one.cookie(PORT)
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie


def test_another_address_answers_to_its_own_name_alone() -> None:
    guard = Guard(host="10.0.0.5", key="the-key")
    assert not refused(guard=guard, Host=f"10.0.0.5:{PORT}")
    assert "another host" in refused(guard=guard, Host=f"127.0.0.1:{PORT}")


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_bound_to_all_addresses_it_answers_to_numbers_and_the_machines_own_name(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Scanner.lab.example")
    guard = Guard(host=bound, key="the-key")
    for name in ("10.0.0.5", "[fe80::1]", "localhost", "scanner", "scanner.lab.example"):
        assert not refused(guard=guard, Host=f"{name}:{PORT}")
    for name in ("elsewhere.example", "10.0.0.5.elsewhere.example", "lab.example", ""):
        assert "another host" in refused(guard=guard, Host=f"{name}:{PORT}")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "LOCALHOST"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "lab", "127.0.0.1.example", ""])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)
