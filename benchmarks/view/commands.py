"""The command `view`."""

from pathlib import Path

import click

from ...core.commandline import IN_FOLDER, IN_PATH, OUT_PATH, json_option, print_json


@click.command()
@click.argument("path", type=IN_PATH)
@click.option("--calibration", type=IN_FOLDER,
              help="Folder with rig.json  [default: the one that belongs to it]")  # fmt: skip
@click.option("--build", type=IN_FOLDER,
              help="Folder of `build-dataset`  [default: build beside a session]")  # fmt: skip
@click.option("--take", help="Take or prediction to begin with  [default: the first]")
@click.option("--error", is_flag=True,
              help="Colours by the distance to the truth, of virtual sessions.")  # fmt: skip
@click.option("--max-faces", type=click.IntRange(1000, 5_000_000), default=300_000,
              show_default=True, help="Triangles of a surface; more are merged.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address to bind; any but this machine's own needs --i-know.")  # fmt: skip
@click.option("--i-know", is_flag=True, help="Other machines may look: yes.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True,
              help="The next free one from here on; 0: any.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@click.option("--snapshot", type=OUT_PATH, metavar="PNG",
              help="Draw the surface into a file and end; needs no browser.")  # fmt: skip
@click.option("--color", help="Colours of the snapshot, such as sigma_mm or clay.")
@json_option
def view(
    path: Path, calibration: Path | None, build: Path | None, take: str | None, error: bool,
    max_faces: int, host: str, i_know: bool, port: int, no_browser: bool, snapshot: Path | None,
    color: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Look at a session, rig, build, scan or prediction in a browser of this machine."""
    from .contents import contents_of
    from .server import check_host, start_server
    from .snapshot import save_snapshot

    check_host(host, i_know=i_know)
    contents = contents_of(path, calibration=calibration, build=build, error=error)
    contents = contents.beginning_with(take)
    if snapshot is not None:
        shown = contents.show(contents.choices[0])
        save_snapshot(snapshot, shown, coloring=color, max_faces=max_faces)
        _say(as_json, "snapshot", str(snapshot))
        return
    from .window import Window

    server, address = start_server(host=host, port=port)
    try:
        Window(server, contents, max_faces=max_faces)
        _say(as_json, "url", address)
        if not no_browser:
            import webbrowser

            webbrowser.open(address)
        server.sleep_forever()
    except KeyboardInterrupt:
        click.echo("view: closed", err=True)
    finally:
        server.stop()


def _say(as_json: bool, name: str, value: str) -> None:
    if as_json:
        print_json({name: value})
    else:
        click.echo(f"{name}: {value}")
