"""Settings of the app's unit: sandbox, limits, VM, crash dumps; and which of them an inventory may change."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.background import eventually
from tests.environment import ENVIRONMENT, LabEnvironment
from tests.timeouts import LONG
from tests.unit_drop_in import drop_in
from warpbeam.inventory.read import read_inventory
from warpbeam.provision.footprint import footprint

UNIT = "hello@a.service"
EXPOSURE = 1.2
CRASHES = "/var/lib/hello/crash"
UNITS = "/lib/systemd/system"
# At most so many directives have one reason.
SHARED = 6


pytestmark = pytest.mark.usefixtures("as_set_up")


def root(environment: LabEnvironment, command: str, host: str = "web1", *, check: bool = True) -> str:
    """Run a shell command as root; return its output."""
    return environment.lab.ssh(host, "sudo bash -s", check=check, stdin=command).stdout


def rpc(environment: LabEnvironment, expression: str, host: str = "web1") -> str:
    """Return the value of an expression on the running node."""
    return environment.fab("rpc", expression, "--host", host).stdout.strip()


def test_the_exposure_is_small_and_each_mark_that_remains_is_explained(
    environment: LabEnvironment, record_property: Callable[[str, object], None]
) -> None:
    said = root(environment, f"systemd-analyze security --no-pager {UNIT}")
    print(said)

    (figure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", said)
    record_property(f"systemd-analyze security {UNIT}, {environment.lab.suite}", figure)
    assert float(figure) <= EXPOSURE
    unit = root(environment, "cat /lib/systemd/system/hello@.service")
    marks = re.findall(r"^✗ (\S+?)=(~?)(\S*)", said, re.MULTILINE)
    assert marks
    explained = unit[: unit.index("[Unit]")]
    for name, _, what in marks:
        assert f"{name}=" in explained, name
        assert what in explained, what


def units(environment: LabEnvironment) -> list[str]:
    """The names of all units that setup keeps on web1, as they lie there: `hello@.service`."""
    inventory = read_inventory(environment.inventories / f"{ENVIRONMENT}.yml")
    wanted = footprint(inventory, inventory.hosts["web1"], {}, "", None)
    names = sorted(file.path.removeprefix(f"{UNITS}/") for file in wanted.files if file.path.startswith(UNITS))
    # Nothing is left of an earlier setup that nobody looks at any more.
    assert names == sorted(root(environment, f"cd {UNITS}; ls -d hello*").split())
    return names


def test_systemd_has_nothing_to_say_about_the_units(environment: LabEnvironment) -> None:
    # A slot that is empty has no program, which is worth a word to systemd; it is no fault of the unit.
    live = environment.status()["web1"]["slot"]
    names = " ".join(name.replace("@.", f"@{live}.") for name in units(environment))

    done = environment.lab.ssh("web1", f"sudo systemd-analyze verify --man=no {names}")

    assert done.stdout + done.stderr == ""


def test_setup_has_each_unit_checked_and_tells_what_the_hosts_systemd_makes_of_it(environment: LabEnvironment) -> None:
    # One that is older than ours: it does not know a directive of the first section.
    stand_in = "/usr/local/sbin/systemd-analyze"
    names = units(environment)
    root(
        environment,
        f"echo 'for unit; do :; done; echo \"$unit:2: Unknown key name in section, ignoring.\"' >{stand_in}; "
        f"chmod 755 {stand_in}; for unit in {' '.join(names)}; do echo >>{UNITS}/$unit; done",
    )
    try:
        said = environment.fab("setup").stderr
    finally:
        root(environment, f"rm {stand_in}")

    for name in names:
        assert f"web1: warning: {name.replace('@.', '@a.')}:2: Unknown key name in section, ignoring." in said
    assert "web2: warning" not in said


def test_each_directive_of_a_unit_says_why_it_is_there(environment: LabEnvironment) -> None:
    for name in units(environment):
        # The number of lines that the last comment stood for.
        since = None
        for line in root(environment, f"cat {UNITS}/{name}").splitlines():
            if line.startswith("#"):
                since = 0
            elif not line or line.startswith("["):
                since = None
            else:
                assert since is not None, f"{name}: {line}"
                since += 1
                assert since <= SHARED, f"{name}: {line}"


def test_the_unit_outlives_outages_and_lets_the_app_finish(environment: LabEnvironment) -> None:
    environment.write(deploy={**environment.settings["deploy"], "drain": 42.5})
    environment.fab("setup")

    shown = root(
        environment,
        f"systemctl show {UNIT} -p TimeoutStopUSec -p StartLimitIntervalUSec -p LimitNOFILE -p LimitCORE -p UMask "
        "-p SyslogIdentifier -p Restart -p RestartUSec -p FragmentPath -p User -p Group "
        "-p EnvironmentFiles -p WorkingDirectory",
    )

    lines = set(shown.splitlines())
    assert {
        "TimeoutStopUSec=48s",
        "StartLimitIntervalUSec=0",
        "LimitNOFILE=65536",
        "LimitCORE=0",
        "UMask=0027",
        "SyslogIdentifier=hello",
        "Restart=always",
        "RestartUSec=1s",
        "User=hello",
        "Group=hello",
        "WorkingDirectory=/opt/acme/hello/slots/a",
    } <= lines
    assert re.search(r"^FragmentPath=(/usr)?/lib/systemd/system/hello@.service$", shown, re.MULTILINE)
    assert "EnvironmentFiles=/etc/acme/hello/secrets.env (ignore_errors=no)" in lines


def test_the_app_speaks_utf_8_and_knows_how_it_was_built(environment: LabEnvironment) -> None:
    found = rpc(environment, '{System.get_env("LANG"), System.get_env("MIX_ENV"), :file.native_name_encoding()}')

    assert found == '{"C.UTF-8", "prod", :utf8}'
    # By us, whatever the host's own systemd hands on to everything.
    assert {'LANG="C.UTF-8"', 'MIX_ENV="prod"'} <= set(root(environment, "cat /etc/acme/hello/app.env").splitlines())


def test_an_app_that_cannot_start_for_a_while_is_tried_until_it_can(environment: LabEnvironment) -> None:
    row = environment.status()["web1"]
    unit = f"hello@{row['slot']}.service"
    # Like an app without its database: it ends as it boots, until the file is there again. Quicker, so that a limit
    # would be met on a slow machine too.
    gone = "ExecStartPre=\nExecStopPost=\nRestartSec=50ms\nExecStart=\nExecStart=/bin/false"
    with drop_in(environment.lab, "web1", gone, under="/run"):
        root(environment, f"kill -KILL {row['pid']}")
        # systemd gives up at the fifth start within ten seconds, unless a setting says otherwise.
        tries = until(lambda: int(root(environment, f"systemctl show -P NRestarts {unit}")) - row["restarts"], 7)
        told = environment.status()["web1"]
        assert told["restarts"] >= row["restarts"] + tries
        assert told["health"] != "healthy"

    assert until(lambda: environment.status()["web1"]["health"] == "healthy", True)
    assert environment.served("web1")["release"].endswith(row["release"])


def until(look: Callable[[], Any], least: Any) -> Any:
    """Return the value of `look` once it is at least `least`; fail the test when it takes far too long."""
    deadline = time.monotonic() + LONG
    while (found := look()) < least:
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
    return found


def test_an_override_takes_effect_and_drop_ins_are_left_alone(environment: LabEnvironment) -> None:
    place = "/etc/systemd/system/hello@.service.d"
    root(environment, f"mkdir -p {place}; printf '[Service]\\nCPUWeight=77\\n' >{place}/own.conf")
    try:
        environment.write(service={"MemoryMax": "1G", "ProcSubset": "all", "SystemCallFilter": "@system-service"})

        environment.fab("setup", "--restart")

        shown = root(environment, f"systemctl show {UNIT} hello@b -p MemoryMax -p ProcSubset -p CPUWeight").splitlines()
        assert {"MemoryMax=1073741824", "ProcSubset=all", "CPUWeight=77"} <= set(shown)
        unit = root(environment, "cat /lib/systemd/system/hello@.service")
        assert unit.count("\nSystemCallFilter=") == 1
        # A one-off evaluation has the same sandbox: what the app may see, its migrations may.
        assert "1" in environment.fab("eval", 'if File.exists?("/proc/meminfo"), do: 1, else: 0').stdout
        assert root(environment, f"cat {place}/own.conf") == "[Service]\nCPUWeight=77\n"
    finally:
        root(environment, f"rm -rf {place}; systemctl daemon-reload")


def test_an_override_that_systemd_does_not_know_is_refused_before_any_change(
    environment: LabEnvironment,
) -> None:
    before = root(environment, "sha256sum /lib/systemd/system/hello@.service")
    environment.write(service={"MemoryMx": "1G"})

    done = environment.fab("setup", expect=4)

    assert "/lib/systemd/system/hello@.service could not be written, or its check failed" in done.stderr
    assert "MemoryMx" in done.stderr
    assert root(environment, "sha256sum /lib/systemd/system/hello@.service") == before


def test_the_vm_has_the_settings_of_the_inventory(environment: LabEnvironment) -> None:
    environment.write(vm={"ports": 131072, "async_threads": 7, "kernel_poll": True, "fullsweep_after": 13})
    environment.fab("setup", "--restart")

    found = rpc(
        environment,
        ":erlang.system_info(:port_limit) |> then(&{&1, :erlang.system_info(:thread_pool_size), "
        ":erlang.system_info(:fullsweep_after)})",
    )

    assert found == "{131072, 7, {:fullsweep_after, 13}}"
    # A setting that is removed from the inventory is the VM's default again.
    environment.write()
    environment.fab("setup", "--restart")
    assert rpc(environment, ":erlang.system_info(:thread_pool_size)") == "1"


def test_nodes_listen_on_loopback_or_for_named_hosts_only(environment: LabEnvironment) -> None:
    def reaches(source: str, port: int, user: str = "root") -> bool:
        command = f"timeout 3 bash -c '</dev/tcp/{environment.lab.address('web1')}/{port}'"
        become = f"sudo setpriv --reuid={user} --clear-groups"
        return environment.lab.ssh(source, f"{become} {command}", check=False).returncode == 0

    port = {"a": 9001, "b": 9002}
    assert not reaches("web2", port[environment.status()["web1"]["slot"]])
    listening = root(environment, "ss -Hltn '( sport = :9001 or sport = :9002 )'")
    assert "127.0.0.1:900" in listening
    assert listening.count("\n") == 1

    hosts = {
        name: {**host, "address": environment.lab.address(name)} if "app" in host["roles"] else host
        for name, host in environment.settings["hosts"].items()
    }
    # Where a host is called by an address, its key is known by it.
    state = environment.lab.ssh_config.parent
    known = environment.directory / "known_hosts"
    lines = (state / "known_hosts").read_text()
    for name in ("web1", "web2"):
        lines += "".join(
            f"{environment.lab.address(name)} {' '.join(key.split()[:2])}\n"
            for key in root(environment, "cat /etc/ssh/ssh_host_*_key.pub", name).splitlines()
        )
    known.write_text(lines)
    ssh = {**environment.settings["ssh"], "known_hosts": str(known)}
    environment.write(hosts=hosts, ssh=ssh, vm={"peers": ["web2"]})
    environment.fab("setup", "--restart")

    slots = {name: row["slot"] for name, row in environment.status().items()}
    assert reaches("web2", port[slots["web1"]], "hello")
    # Nobody else on a peer's host.
    assert not reaches("web2", port[slots["web1"]], "deploy")
    assert not reaches("build1", port[slots["web1"]])
    # The rules survive what flushes them.
    root(environment, "systemctl reload-or-restart nftables")
    deadline = time.monotonic() + LONG
    while "saddr" not in root(environment, "nft list table inet warpbeam_hello_nodes 2>&1", check=False):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert not reaches("build1", port[slots["web1"]])
    if slots["web1"] == slots["web2"]:
        web1 = f':"hello-{slots["web1"]}@{environment.lab.address("web1")}"'
        assert rpc(environment, f"Node.connect({web1})", "web2") == "true"
    assert rpc(environment, "1 + 1", "web2") == "2"


def test_crash_dumps_are_the_apps_alone_bounded_and_few(environment: LabEnvironment) -> None:
    environment.write(vm={"crash_dump": 1})
    environment.fab("setup", "--restart")
    slot = environment.status()["web1"]["slot"]
    assert root(environment, f"stat -c '%a %U %s' {CRASHES}/dump-{slot}").strip() == "600 hello 0"
    for _ in range(4):
        pid = environment.status()["web1"]["pid"]
        # The node is gone before it can answer.
        environment.fab("rpc", ':erlang.halt(~c"on purpose")', "--host", "web1", expect=None)
        # Serving again; "healthy" it is called a minute later.
        deadline = time.monotonic() + LONG
        while environment.status()["web1"]["pid"] in (pid, 0):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert eventually(lambda: environment.fab("rpc", "1", "--host", "web1", expect=None).returncode == 0)

    found = root(
        environment, f"stat -c '%a %U:%G %s %n' {CRASHES} {CRASHES}/*; head -c 200 {CRASHES}/*.dump"
    ).splitlines()

    print(found)
    assert found[0].startswith("700 hello:hello")
    dumps = [line for line in found if line.endswith(".dump") and line[0] == "6"]
    assert len(dumps) == 3
    for line in dumps:
        mode, owner, size, _ = line.split()
        assert (mode, owner) == ("600", "hello:hello")
        # It may end a few bytes over, where it says that it was cut (erts, erl_cbuf).
        assert 0 < int(size) <= (1 << 20) + 4096
    assert "Slogan: on purpose" in "\n".join(found)
    # A console's own VM leaves none in their place.
    before = root(environment, f"ls {CRASHES}")
    environment.fab("eval", ':erlang.halt(~c"elsewhere")', expect=None)
    assert root(environment, f"ls {CRASHES}") == before
