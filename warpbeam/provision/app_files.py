"""The inventory's own files on hosts (`files`): root's, and only the app can read them."""

from __future__ import annotations

from pathlib import Path

from warpbeam.error import Misuse
from warpbeam.inventory.schema import Inventory
from warpbeam.provision.item import Directory, File

# The largest file, in bytes: as much as a host answers of one that differs.
MOST = 65536
# The variable by which Conform finds its settings.
CONFORM = "CONFORM_CONF_PATH"


def settings_directory(inventory: Inventory) -> Directory:
    """Return the directory of the app's settings: root's alone, unless the app is to read files in it.

    Then the app may pass through, to a file whose name it knows. Everything else there is still root's alone.
    """
    path = f"/etc/{inventory.org}/{inventory.app}"
    if inventory.files:
        return Directory(path, "710", "root", inventory.app_user)
    return Directory(path, "700", "root", "root")


def app_files(inventory: Inventory) -> tuple[File, ...]:
    """Return the files of the inventory. Raises: Misuse, where a source cannot be read."""
    return tuple(
        File(path, _text(inventory, path, source), "640", "root", inventory.app_user, needs="restart")
        for path, source in inventory.files.items()
    )


def check_sources(inventory: Inventory) -> None:
    """Check that every source can be read, once and before any host is asked. Raises: Misuse."""
    app_files(inventory)


def file_variables(inventory: Inventory) -> dict[str, str]:
    """Return the variables that tell the app of its files: Conform's, where one of them is a .conf."""
    conf = next((path for path in inventory.files if path.endswith(".conf")), None)
    return {CONFORM: conf} if conf else {}


def _text(inventory: Inventory, path: str, source: Path) -> str:
    """Return the text of a file's source."""
    where = f"{inventory.file}: files: {path}"
    try:
        content = source.read_bytes()
        text = content.decode()
    except OSError as error:
        reason = f"{where}: {source} cannot be read: {error.strerror}"
        raise Misuse(reason, "a relative path begins at the inventory's directory") from None
    except UnicodeDecodeError:
        raise Misuse(f"{where}: expected UTF-8 text in {source}, found something else", "leave it out") from None
    if len(content) > MOST or "\0" in text:
        raise Misuse(f"{where}: expected a text of at most {MOST} bytes in {source}", "put data into the release")
    return text
