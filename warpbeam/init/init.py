"""`fab init`: look at an app's repository, show what would be written, write what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from warpbeam.error import Misuse
from warpbeam.event import Emit, Line, Note, Warn
from warpbeam.init.advice import advise, next_commands
from warpbeam.init.files import FilePlan, check_writable, plan_files, write_file
from warpbeam.init.repository import App, read_app, text_of
from warpbeam.init.request import InitRequest, choose_names
from warpbeam.inventory.conflicts import check_conflicts
from warpbeam.inventory.decode import decode
from warpbeam.inventory.files import seen
from warpbeam.inventory.read import read_inventory
from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.strict_yaml import parse


def init(request: InitRequest, confirm: Callable[[str], bool], emit: Emit) -> None:
    """Write the files that the app needs to be deployed, and that are not there, once `confirm` has said yes.

    Raises:
        Misuse: there is no app, or its names cannot be used.
        Refused: a file cannot be written.
    """
    app = read_app(request.source)
    names = choose_names(request, app)
    plan = plan_files(request, app, names)
    check_writable(plan.new)
    inventory = _inventory(request, plan)
    _show(app, plan, emit)
    if plan.new:
        if not confirm("write these files?"):
            emit(Note("", "nothing was written"))
            return
        for new in plan.new:
            write_file(new)
        emit(Note("", f"wrote {', '.join(seen(new.file) for new in plan.new)}"))
    else:
        emit(Note("", "nothing to write: every file is there"))
    _read_back(request, emit)
    _show_rest([*advise(request, app, names, plan, inventory)], emit)


def _inventory(request: InitRequest, plan: FilePlan) -> str:
    """Return the text of the environment, there or to be written. Raises: Misuse, where ours is not valid."""
    text = next((new.text for new in plan.new if new.file == request.inventory), None)
    if text is None:
        return text_of(request.inventory) or ""
    tree = parse(text, request.inventory)
    check_conflicts(decode(tree, Inventory), tree)
    return text


def _show(app: App, plan: FilePlan, emit: Emit) -> None:
    for line in _found(app):
        emit(Note("", line))
    for file in plan.kept:
        emit(Note("", f"{seen(file)} is there and stays as it is"))
    for new in plan.new:
        emit(Note("", f"{seen(new.file)}, {'these lines at its end' if new.added else 'new'}:"))
        for line in new.text.splitlines():
            emit(Line("", line, folds=True))


def _show_rest(steps: Sequence[str], emit: Emit) -> None:
    """Show what is left to do by hand, and the commands after that."""
    if steps:
        emit(Note("", "left to do by hand:"))
    for number, step in enumerate(steps, 1):
        emit(Note("", f"  {number}. {step}"))
    emit(Note("", "then:"))
    for command in next_commands():
        emit(Note("", f"  {command}"))


def _found(app: App) -> Iterator[str]:
    """Yield what the repository has, in lines for a person who checks it."""
    what = "umbrella" if app.mix.apps_path else "app"
    yield f"found in {app.directory}: the {what} {app.name}, release {app.release}"
    packages = {"phoenix": "Phoenix", "ecto_sql": "Ecto", "distillery": "Distillery"}
    parts = [title for name, title in packages.items() if app.has(name)]
    parts += [f"assets with Node.js in {app.node}"] if app.node else []
    parts += [f".tool-versions: {', '.join(app.tools)}"] if app.tools else []
    parts += [f"migrations by {app.migrate}"] if app.migrate else []
    parts += [f"health at {app.health}"] if app.health else []
    parts += ["a drain"] if app.drains else []
    parts += [f"variables {', '.join(each.name for each in app.variables)}"] if app.variables else []
    if parts:
        yield f"with {'; '.join(parts)}"


def _read_back(request: InitRequest, emit: Emit) -> None:
    """Read the environment as every command does, and say what it has."""
    try:
        read = read_inventory(request.inventory)
    except Misuse as misuse:
        # It was there before: it is a person's to mend.
        emit(Warn("", f"{misuse.message}; {misuse.hint}"))
        return
    hosts = ", ".join(f"{host.name} ({', '.join(host.roles)})" for host in read.hosts.values())
    emit(Note("", f"{seen(request.inventory)} is valid: {read.org}/{read.app} on {hosts}"))
