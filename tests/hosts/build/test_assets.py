"""Assets: packages by npm, a digest by Mix, commands of one's own; and the secrets that they alone see."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets as entropy
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.background import await_end, eventually, running_fab
from tests.build_environment import change_mix_exs, last_manifest, on_build_host, write_source
from tests.environment import PROJECT, LabEnvironment
from tests.npm import lock, npm, package  # noqa: F401 (a fixture)

# A registry on the build host that gives its package only for a token, of which it knows the digest alone.
REGISTRY = """
import hashlib, http.server, sys

digest, package = sys.argv[1], open("/run/registry.tgz", "rb").read()


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        allowed = hashlib.sha256(token.encode()).hexdigest() == digest
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(package if allowed else b"{}")


http.server.HTTPServer(("127.0.0.1", 4873), Registry).serve_forever()
"""
WHISPER = package("@acme/whisper", "module.exports = text => text.toLowerCase()\n")
SHOUT = package("shout", "module.exports = text => text.toUpperCase()\n")
BUILD_JS = """
const fs = require("fs"), shout = require("shout"), whisper = require("@acme/whisper")
console.log("the token is", process.env.NPM_TOKEN)
fs.mkdirSync("../priv/static", {recursive: true})
fs.writeFileSync("../priv/static/app.js", `// ${shout("stamp")} ${whisper("DONE")}\\n`)
"""
DIGEST = """
defmodule Mix.Tasks.Hello.Digest do
  use Mix.Task

  def run(_) do
    text = File.read!("priv/static/app.js")
    digest = :crypto.hash(:md5, text) |> Base.encode16(case: :lower)
    File.write!("priv/static/app-#{digest}.js", text)
    File.write!("priv/static/digests", digest)
    Mix.shell().info("digested for #{Mix.env()}")
  end
end
"""
ROUTE = """  def answer(%Request{path: "/static/" <> name}, _closing?) do
    %Response{status: 200, body: File.read!(Application.app_dir(:hello, ["priv/static/", Path.basename(name)]))}
  end

  def answer(_request, _closing?), do: Response.plain(404)
"""
STEP = re.compile(r"^build1: assets", re.MULTILINE)


@pytest.fixture(autouse=True)
def as_it_was(environment: LabEnvironment) -> Iterator[None]:
    """Each test leaves the inventory as it was."""
    yield
    environment.write()


@pytest.fixture
def app(source: LabEnvironment) -> LabEnvironment:
    """The sample app with a package of its own, a private one, and an alias that makes a digested file of both."""
    packed = {
        "shout": ("file:vendor/shout-1.0.0.tgz", SHOUT),
        "@acme/whisper": ("http://127.0.0.1:4873/@acme/whisper/-/whisper-1.0.0.tgz", WHISPER),
    }
    wanted = {"shout": "file:vendor/shout-1.0.0.tgz", "@acme/whisper": "1.0.0"}
    npmrc = "@acme:registry=http://127.0.0.1:4873/\n//127.0.0.1:4873/:_authToken=${NPM_TOKEN}\nfetch-retries=0\n"
    write_source(source, "assets/package.json", json.dumps({"name": "app", "dependencies": wanted}))
    write_source(source, "assets/package-lock.json", lock(wanted, packed))
    write_source(source, "assets/.npmrc", npmrc)
    write_source(source, "assets/build.js", BUILD_JS.replace("stamp", f"stamp{time.time_ns()}"))
    write_source(source, "lib/mix/tasks/hello.digest.ex", DIGEST)
    vendor = source.source / "assets/vendor"
    vendor.mkdir()
    (vendor / "shout-1.0.0.tgz").write_bytes(SHOUT)
    change_mix_exs(
        source, "aliases: [", 'aliases: ["assets.deploy": ["cmd --cd assets node build.js", "hello.digest"], '
    )
    router = source.source / "lib/hello/router.ex"
    router.write_text(router.read_text().replace("  def answer(_request, _closing?), do: Response.plain(404)\n", ROUTE))
    source.commit("assets")
    return source


@contextmanager
def registry(environment: LabEnvironment, token: str) -> Iterator[None]:
    """A private registry runs on the build host meanwhile."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    put = "sudo bash -c 'base64 -d >/run/registry.tgz'"
    environment.lab.ssh("build1", put, stdin=base64.b64encode(WHISPER).decode())
    run = ("sudo", "systemd-run", "--quiet", "--collect", "--unit=registry", "python3", "-c", REGISTRY, digest)
    environment.lab.ssh("build1", shlex.join(run))
    try:
        yield
    finally:
        environment.lab.ssh("build1", "sudo systemctl stop registry.service")


def use_secret(environment: LabEnvironment, value: str, **build: object) -> Path:
    """Give the build a secret from a file, in the inventory; the file."""
    file = environment.directory / "npm-token"
    file.write_text(value)
    environment.write(build={"secrets": {"NPM_TOKEN": {"file": str(file)}}, **build})
    return file


@contextmanager
def process_lists(token: str) -> Iterator[tuple[set[str], set[tuple[int, str]]]]:
    """While this lasts, look at every process of this machine and of the lab's hosts.

    Yields the arguments with the token, and each user and program with the token in its environment.
    """
    arguments: set[str] = set()
    environments: set[tuple[int, str]] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            for process in os.scandir("/proc"):
                with suppress(OSError):
                    if process.name.isdigit():
                        line = (
                            Path(process.path, "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                        )
                        if token in line:
                            arguments.add(line)
                        if token.encode() in Path(process.path, "environ").read_bytes():
                            environments.add((process.stat().st_uid, line))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield arguments, environments
    finally:
        done.set()
        thread.join()


def test_a_missing_npm_is_named_before_anything_is_compiled(app: LabEnvironment) -> None:
    failed = app.fab("build-on-host", expect=4)

    assert "error: build1: assets/package.json needs npm, and deploy has no npm on the build host" in failed.stderr
    assert "apt install npm" in failed.stderr
    assert "build1: compile" not in failed.stderr


def test_an_app_without_assets_has_no_such_step(source: LabEnvironment) -> None:
    write_source(source, "priv/stamp", str(time.time_ns()))
    source.commit("something that nobody has built")

    assert not STEP.search(source.fab("build-on-host").stderr)


@pytest.mark.usefixtures("npm")
def test_packages_and_a_digest_are_made_and_served_and_the_token_is_nowhere_else(app: LabEnvironment) -> None:
    token = f"planted{entropy.token_hex(8)}"
    file = use_secret(app, token)
    argv = [app.argv()[0], "--echo", "-d", "stage", "deploy"]

    with registry(app, token), process_lists(token) as (arguments, environments):
        done = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT, env=app.environ, check=False)

    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert re.search(r"added 2 packages", said)
    assert "the token is ***" in said
    assert "digested for prod" in said
    digest = on_build_host(app, "cat priv/static/digests").strip()
    for host in ("web1", "web2"):
        text = app.served(host, f"/static/app-{digest}.js")
        assert re.fullmatch(r"// STAMP\d+ done\n", text)
        assert hashlib.md5(text.encode()).hexdigest() == digest
    assert token not in said
    assert arguments == set()
    deploy = int(app.lab.ssh("build1", "id -u deploy").stdout)
    assert {user for user, _ in environments} == {deploy}
    assert any("npm" in line for _, line in environments)
    assert not [line for _, line in environments if re.search(r"\b(tee|bash|deps\.get|compile|release)\b", line)]
    # Here it is only in the file that it came from, and on the hosts nowhere.
    places = [str(PROJECT / ".warpbeam"), str(app.directory)]
    here = subprocess.run(["grep", "-rlsa", token, *places], capture_output=True, text=True, check=False).stdout.split()
    assert here == [str(file)]
    look = (
        f"grep -rlsa --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr --devices=skip {token} / ; "
        f"journalctl --no-pager --output=export | grep -c {token}; true"
    )
    for host in ("build1", "web1"):
        assert app.lab.ssh(host, "sudo sh -s", stdin=look).stdout.split() == ["0"]

    # The next build needs neither the registry nor the token: node_modules and npm's cache have stayed.
    app.write()
    app.version(f"9.{entropy.randbelow(10**6)}.0")
    again = app.fab("build-on-host").stderr
    assert "assets/node_modules is as the last build left it" in again
    assert "the token is undefined" in again
    # npm's cache is the build's own: `npm ci` from nothing needs no registry.
    change = app.source / "assets/package.json"
    change.write_text(change.read_text().replace("{", '{"private": true, ', 1))
    app.commit("another package.json")
    renewed = app.fab("build-on-host").stderr
    assert "added 2 packages" in renewed


@pytest.mark.usefixtures("npm")
def test_a_registry_that_refuses_the_token_is_one_message_without_it(app: LabEnvironment) -> None:
    token = f"planted{entropy.token_hex(8)}"
    use_secret(app, token)
    on_build_host(app, "rm -rf ../npm ../npm-ci")

    with registry(app, "another one"):
        failed = app.fab("build-on-host", expect=4)

    assert "E401" in failed.stderr
    assert "error: build1: npm ci in assets failed on the build host" in failed.stderr
    assert "does build.secrets give the token, under the name that .npmrc has in ${…}?" in failed.stderr
    assert token not in failed.stdout + failed.stderr
    # Without a value, nothing is sent.
    (app.directory / "npm-token").unlink()
    refused = app.fab("build-on-host", expect=2)
    assert re.search(r"error: \S+stage.yml: build.secrets.NPM_TOKEN: \S+ cannot be read", refused.stderr)


def test_own_commands_run_in_order_in_the_source_and_the_list_decides_the_artifact(source: LabEnvironment) -> None:
    stamp = str(time.time_ns())
    write_source(source, "priv/stamp", stamp)
    source.commit("something that nobody has built")
    made = "priv/made"
    first = f"""words=(one 'two "three"' $NPM_TOKEN)
printf '%s\\n' "${{words[@]}}" "$MIX_ENV" "$(basename "$PWD")" >{made}
tr '\\0' ' ' </proc/$$/cmdline >>{made}"""
    use_secret(source, "short", assets=[first, f"sed -i s/short/long/ {made}"])

    built = source.fab("build-on-host").stderr

    assert STEP.search(built)
    written = on_build_host(source, f"cat {made}").splitlines()
    assert written[:5] == ["one", 'two "three"', "long", "prod", "src"]
    assert re.fullmatch(r"bash -e /dev/fd/\d+ ", written[5])
    assert any(item.path.endswith(made) for item in last_manifest(source).files)
    # Another value is no reason for another build, another list is one, as `none` is.
    use_secret(source, "other", assets=[first, f"sed -i s/short/long/ {made}"])
    assert "built already" in source.fab("build-on-host").stderr
    use_secret(source, "other", assets=["true", "echo here; false; true"])
    failed = source.fab("build-on-host", expect=4).stderr
    assert "error: build1: command 2 of build.assets failed on the build host" in failed
    assert "│ here" in failed


def test_ctrl_c_in_the_step_ends_its_programs_on_the_build_host(source: LabEnvironment) -> None:
    source.write(build={"assets": ["echo begun; sleep 4321"]})

    with running_fab(source, "build-on-host", "--rebuild", until="begun") as process:
        process.send_signal(signal.SIGINT)
        status, said = await_end(process)

    assert (status, said.splitlines()[-1]) == (130, "interrupted")
    running = "pgrep -u deploy -f '[s]leep 4321'"
    assert eventually(lambda: source.lab.ssh("build1", running, check=False).stdout == "", 5)


def test_a_release_that_holds_a_secret_of_the_build_is_refused(source: LabEnvironment) -> None:
    token = f"planted{entropy.token_hex(8)}"
    write_source(source, "priv/stamp", str(time.time_ns()))
    source.commit("something that nobody has built")
    use_secret(source, token, assets=['echo "key = \\"$NPM_TOKEN\\"" >priv/app.js'])

    failed = source.fab("build-on-host", expect=4).stderr

    assert re.search(r"'lib/hello-\S+/priv/app.js' holds a value of build.secrets", failed)
    assert "error: build1: the release holds a secret of the build" in failed
    assert token not in failed
