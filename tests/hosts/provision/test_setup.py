"""`setup`: few requests, what it shows, what it puts right, what it leaves alone."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paramiko
import pytest

from tests.environment import ENVIRONMENT, LabEnvironment
from warpbeam.event import Event, Step
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import HELPER_VERSION
from warpbeam.inventory.read import read_inventory
from warpbeam.provision.setup import Outcome, set_up

UNIT = "/lib/systemd/system/hello@.service"
KEYS = "/home/deploy/.ssh/authorized_keys"
SECRET = "pl4nted-s3cret"
# systemd's own names for what it tells (sd-messages.h).
MESSAGES = {"started": "39f53479d3a045ac8e11786248231fbf", "stopping": "de5b426a63be47a7b6ac3eaac82e2f6f"}
# SSH_MSG_CHANNEL_REQUEST (RFC 4254, 9).
CHANNEL_REQUEST = bytes([98])


pytestmark = pytest.mark.usefixtures("as_set_up")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count the exec requests over connections to each address meanwhile."""
    count: Counter[str] = Counter()
    send: Any = paramiko.Transport._send_user_message

    def counting(transport: Any, message: Any) -> None:
        read: Any = paramiko.Message(message.asbytes())
        if read.get_byte() == CHANNEL_REQUEST:
            read.get_int()
            if read.get_text() == "exec":
                count[transport.getpeername()[0]] += 1
        send(transport, message)

    with monkeypatch.context() as patch:
        patch.setattr(paramiko.Transport, "_send_user_message", counting)
        yield count


def in_process(environment: LabEnvironment, **how: Any) -> tuple[Outcome, list[Event]]:
    """A setup of this process, so that what it sends can be counted; what it told."""
    told: list[Event] = []
    fleet = Fleet(read_inventory(environment.inventories / f"{ENVIRONMENT}.yml"))
    try:
        return set_up(fleet, told.append, **how), told
    finally:
        fleet.close()


def root(environment: LabEnvironment, command: str, host: str = "web1", *, check: bool = True) -> str:
    """Run a shell command as root; return its output."""
    return environment.lab.ssh(host, "sudo bash -s", check=check, stdin=command).stdout


def test_a_host_takes_three_exec_requests_for_a_change_and_one_without(
    environment: LabEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {environment.lab.address(name) for name in environment.settings["hosts"]}
    for name in environment.settings["hosts"]:
        root(environment, f"echo '# not so' >>{KEYS}; chmod 644 {KEYS}", name)

    with counted(monkeypatch) as count:
        outcome, _ = in_process(environment, show=True)
    assert outcome.changed
    assert dict(count) == dict.fromkeys(hosts, 3)

    with counted(monkeypatch) as count:
        outcome, told = in_process(environment)
    assert not outcome.changed
    assert dict(count) == dict.fromkeys(hosts, 1)
    assert [event.name for event in told if isinstance(event, Step)] == ["inspect"] * 3


def test_each_host_is_reported_with_the_seconds_that_it_took(environment: LabEnvironment) -> None:
    took = re.compile(r"^(\w+): (set up, 1 change|set up already, nothing to change) \((\d+\.\d) s\)$", re.MULTILINE)
    root(environment, "chmod 644 /etc/acme/hello/app.env")

    for what in ("set up, 1 change", "set up already, nothing to change"):
        began = time.monotonic()
        told = {
            host: (ending, float(seconds)) for host, ending, seconds in took.findall(environment.fab("setup").stderr)
        }
        whole = time.monotonic() - began

        # The time of a second run is shown and not asserted: it depends on what else this machine does.
        print({host: seconds for host, (_, seconds) in told.items()}, f"of {whole:.1f} s")
        assert list(told) == ["web1", "web2", "build1"]
        assert told["web1"][0] == what
        assert all(0 < seconds < whole for _, seconds in told.values())


def test_a_new_host_takes_three_too(environment: LabEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another app is all new: users, directories, files, units.
    environment.write(
        app="second",
        users={**environment.settings["users"], "deploy": "deploy2"},
        http={"port": 81, "slots": [4101, 4102], "distribution": [9101, 9102], "maintenance": 4103},
    )
    try:
        with counted(monkeypatch) as count:
            in_process(environment)
        assert set(count.values()) == {3}
        assert root(environment, "systemctl is-enabled second.service").strip() == "enabled"
    finally:
        for name in ("web1", "web2", "build1"):
            root(
                environment,
                "systemctl disable -q --now second.service; userdel second; userdel -r deploy2; "
                "rm -rf /etc/acme/second /opt/acme/second "
                "/usr/lib/warpbeam/second /lib/systemd/system/second* /etc/sudoers.d/warpbeam-second; "
                "systemctl daemon-reload; nft delete table inet warpbeam_second",
                name,
                check=False,
            )


def test_a_host_without_systemd_is_refused_with_the_reason_and_left_alone(environment: LabEnvironment) -> None:
    look = f"stat -c '%n %Z' {UNIT} {KEYS}"
    root(environment, f"echo '# not so' >>{KEYS}")
    before = root(environment, look)
    # The directory by which programs know whether systemd runs a machine (sd_booted(3)).
    root(environment, "mv /run/systemd/system /run/systemd/hidden")
    try:
        said = environment.fab("-H", "web1", "setup", expect=3).stderr
        assert root(environment, look) == before
    finally:
        root(environment, "mv /run/systemd/hidden /run/systemd/system")

    assert "web1: this host does not run systemd" in said
    assert "hint: Warpbeam runs apps as systemd units" in said


def test_what_was_changed_by_hand_is_shown_and_check_changes_nothing(environment: LabEnvironment) -> None:
    look = f"cd /etc/acme/hello; sha256sum {UNIT} *.env .written; stat -c '%n %a %U %Y' * {UNIT}"
    root(
        environment,
        f"sed -i 's/^Restart=always/Restart=no/' {UNIT}; echo 'EXTRA={SECRET}' >>/etc/acme/hello/secrets.env; "
        f"echo 'LATE={SECRET}' >>/etc/acme/hello/app.env; sed -i 's/good morning/good night/' /etc/acme/hello/app.env; "
        "chmod 755 /etc/acme/hello",
    )
    before = root(environment, look)

    done = environment.fab("setup", "--check", "--diff", expect=5)

    assert root(environment, look) == before
    said = done.stderr
    assert f"web1: would change: file {UNIT} 644 root:root (it was changed by hand)" in said
    assert "web1: would change: directory /etc/acme/hello 700 root:root (it is 755 root:root)" in said
    assert "web1: │ -Restart=no" in said
    assert "web1: │ +Restart=always" in said
    assert re.search(r"web1: │ -EXTRA=\(hidden, [0-9a-f]{8}\)", said)
    assert re.search(r"web1: │ -LATE=\(hidden, [0-9a-f]{8}\)", said)
    assert 'web1: │ -GREETING="good night"' in said
    assert 'web1: │ +GREETING="good morning"' in said
    assert SECRET not in done.stdout + said
    assert "web2: would change" not in said


def test_what_was_changed_by_hand_is_put_right_and_the_app_restarted_only_when_asked(
    environment: LabEnvironment,
) -> None:
    before = environment.status()
    root(environment, "sed -i 's/good morning/good night/' /etc/acme/hello/app.env")

    done = environment.fab("setup", "--diff")

    assert "web1: warning: the app still runs with its old settings (/etc/acme/hello/app.env)" in done.stderr
    assert "setup --restart` restarts it, host after host" in done.stderr
    assert 'GREETING="good morning"' in root(environment, "cat /etc/acme/hello/app.env")
    assert environment.status()["web1"]["pid"] == before["web1"]["pid"]
    # It is not forgotten: the file is right by now, the app still older than it.
    assert "the app still runs with its old settings" in environment.fab("setup").stderr
    assert "would need a restart" in environment.fab("setup", "--check").stderr
    environment.fab("setup", "--check", "--restart", expect=5)
    assert environment.status()["web1"]["pid"] == before["web1"]["pid"]

    environment.fab("setup", "--restart")

    after = environment.status()
    assert after["web1"]["pid"] != before["web1"]["pid"]
    assert after["web2"]["pid"] == before["web2"]["pid"]
    assert "old settings" not in environment.fab("setup").stderr


def last(environment: LabEnvironment, what: str, host: str, slot: str) -> int:
    """Return the time of that state of the slot's unit, in microseconds; all hosts have one clock."""
    # `systemctl show` would not do: it forgets an instance that has stopped.
    matches = f"UNIT=hello@{slot}.service MESSAGE_ID={MESSAGES[what]}"
    said = root(environment, f"journalctl --sync; journalctl --boot {matches} --lines=1 --output=json", host)
    return int(json.loads(said)["__REALTIME_TIMESTAMP"])


def test_a_restart_goes_host_after_host_and_each_serves_before_the_next_is_touched(environment: LabEnvironment) -> None:
    before = environment.status()
    environment.write(env={"GREETING": "good evening"})

    said = environment.fab("setup", "--restart").stderr

    after = environment.status()
    assert all(after[host]["pid"] != before[host]["pid"] for host in ("web1", "web2"))
    assert all(after[host]["slot"] != before[host]["slot"] for host in ("web1", "web2"))
    told = [line for line in said.splitlines() if line.endswith(": start") or ": restarted " in line]
    assert [line.split(" ")[0] + line.split(" ")[1] for line in told] == [
        "web1:start",
        "web1:restarted",
        "web2:start",
        "web2:restarted",
    ]
    # By the hosts' own times, web2's old instance was stopped long after web1's new one was started.
    new = last(environment, "started", "web1", after["web1"]["slot"])
    assert last(environment, "stopping", "web1", before["web1"]["slot"]) < new
    assert new < last(environment, "stopping", "web2", before["web2"]["slot"])


def test_a_mode_that_is_put_right_needs_no_restart(environment: LabEnvironment) -> None:
    root(environment, "chmod 644 /etc/acme/hello/app.env")

    done = environment.fab("setup")

    assert "(it is 644 root:root)" in done.stderr
    assert "old settings" not in done.stderr
    assert root(environment, "stat -c %a /etc/acme/hello/app.env").strip() == "600"
    # Nor does the next one take it for changed.
    assert "old settings" not in environment.fab("setup").stderr


def test_deploy_keys_are_added_and_removed(environment: LabEnvironment) -> None:
    mine = f"{environment.lab.key}.pub"
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl hannah@acme"
    sneaked = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBDhw7RzQPtjX5RZrpOyZVSGaBy3CvKLKtSXEPFOMrTi mallory@nowhere"
    root(environment, f"echo '{sneaked}' >>{KEYS}; install -o deploy -g deploy -m 600 {KEYS} {KEYS}2")
    environment.write(deploy_keys=[mine, other])

    said = environment.fab("setup").stderr

    assert re.search(r"web1: changing: deploy key added: SHA256:\S{43} hannah@acme", said)
    assert re.search(r"web1: changing: deploy key removed: SHA256:\S{43} mallory@nowhere", said)
    assert f"web1: changing: file {KEYS}2 removed" in said
    assert re.search(r"web2: changing: deploy key added: SHA256:\S{43} hannah@acme", said)
    assert "web2: changing: deploy key removed" not in said
    there = root(environment, f"cat {KEYS}; ls /home/deploy/.ssh")
    assert other in there
    assert sneaked not in there
    assert there.splitlines()[-1] == "authorized_keys"

    environment.write(deploy_keys=[mine])
    assert "hannah@acme" in environment.fab("setup").stderr
    assert other not in root(environment, f"cat {KEYS}", "web2")

    # Nothing said about keys: nothing done about them.
    root(environment, f"echo '{sneaked}' >>{KEYS}")
    settings = {name: value for name, value in environment.settings.items() if name != "deploy_keys"}
    environment.settings, kept = settings, environment.settings
    try:
        environment.write()
        environment.fab("setup", "--check")
        assert sneaked in root(environment, f"cat {KEYS}")
    finally:
        environment.settings = kept


def test_a_link_in_place_of_the_keys_leads_nowhere(environment: LabEnvironment) -> None:
    environment.lab.ssh("web1", f"ln -sf /etc/shadow {KEYS}2 && rm {KEYS} && ln -s /etc/shadow {KEYS}", user="deploy")
    # Not its time: the account is shut while its processes are ended, and opened again.
    before = root(environment, "stat -c '%a %U %G' /etc/shadow; sha256sum /etc/shadow")

    done = environment.fab("setup", "--diff")

    assert "root:" not in done.stderr.replace("root:root", "")
    assert root(environment, "stat -c '%a %U %G' /etc/shadow; sha256sum /etc/shadow") == before
    assert root(environment, f"stat -c '%F %a %U' {KEYS}").strip() == "regular file 600 deploy"


PACKAGE = """
set -eu
rm -rf /srv/repository && mkdir -p /srv/repository && cd /srv/repository
for name in warpbeam-one warpbeam.two; do
  mkdir -p tree/DEBIAN tree/usr/share/$name
  printf '%s\\n' "Package: $name" 'Version: 1.0' 'Architecture: all' 'Maintainer: Test <test@localhost>' \
    'Description: a test' >tree/DEBIAN/control
  dpkg-deb --root-owner-group --build tree $name.deb >/dev/null
  { cat tree/DEBIAN/control; printf 'Filename: ./%s.deb\\nSize: %s\\nSHA256: %s\\n\\n' $name "$(stat -c %s $name.deb)" \
    "$(sha256sum $name.deb | cut -d' ' -f1)"; } >>Packages
  rm -rf tree
done
chmod -R a+rX /srv/repository
mkdir -p /root/kept && mv /etc/apt/sources.list /etc/apt/sources.list.d /root/kept/ 2>/dev/null || true
mkdir -p /etc/apt/sources.list.d
echo 'deb [trusted=yes] file:/srv/repository ./' >/etc/apt/sources.list.d/test.list
"""
UNDO = """
dpkg --purge warpbeam-one warpbeam.two 2>/dev/null
rm -rf /etc/apt/sources.list.d /srv/repository; mv /root/kept/* /etc/apt/; rmdir /root/kept; apt-get clean
"""


def test_packages_that_are_not_there_are_installed_and_no_others(environment: LabEnvironment) -> None:
    for host in ("web1", "web2"):
        root(environment, PACKAGE, host)
    try:
        environment.write(packages=["warpbeam-one", "sudo"])

        assert (
            "web1: would change: package warpbeam-one installed" in environment.fab("setup", "--check", expect=5).stderr
        )
        assert root(environment, "dpkg-query -W warpbeam-one 2>&1 || true").startswith("dpkg-query: no packages found")
        done = environment.fab("setup")

        assert "package sudo" not in done.stderr
        assert root(environment, "dpkg-query -W -f '${db:Status-Status}' warpbeam-one", "web2") == "installed"
        assert "nothing to change" in environment.fab("setup").stderr
        # A dot is a dot: apt-get itself would take the second for a pattern, and install what it fits.
        environment.write(packages=["warpbeam.two"])
        environment.fab("setup")
        environment.write(packages=["warpbeam.one"])
        refused = environment.fab("setup", expect=4)
        assert "there is no package warpbeam.one" in refused.stderr
        assert "warpbeam-one" not in refused.stderr
        # Nobody asked for it on a host without the app.
        assert root(environment, "dpkg-query -W warpbeam-one 2>&1 || true", "build1").startswith(
            "dpkg-query: no packages"
        )
    finally:
        for host in ("web1", "web2"):
            root(environment, UNDO, host, check=False)


# Fedora's programs as far as setup knows them: what they were asked is written down, what was installed is remembered.
DNF = r"""
set -eu
mkdir -p /root/apt /root/rpms
mv /usr/bin/apt-get /root/apt/
# As somebody may have it on Fedora, and setup must not take it for Debian.
test -x /usr/bin/dpkg-query
cat >/usr/local/bin/rpm <<'END'
#!/bin/sh
echo "rpm $*" >>/root/asked
for package; do :; done
test -e "/root/rpms/$package"
END
cat >/usr/local/bin/dnf <<'END'
#!/bin/sh
echo "dnf $*" >>/root/asked
case " $* " in *" no-such "*) echo 'Error: Unable to find a match: no-such' >&2; exit 1 ;; esac
while test "$1" != --; do shift; done
shift
for package; do echo "Installing: $package"; touch "/root/rpms/$package"; done
END
chmod 755 /usr/local/bin/rpm /usr/local/bin/dnf
touch /root/rpms/sudo
"""
NO_DNF = "mv /root/apt/apt-get /usr/bin/; rm -rf /root/apt /root/rpms /root/asked /usr/local/bin/rpm /usr/local/bin/dnf"


def test_where_there_is_dnf_it_is_asked_for_what_is_not_there(environment: LabEnvironment) -> None:
    # The lab has no Fedora: this shows what dnf and rpm are asked, and what is made of their answers; not what they do.
    root(environment, DNF)
    try:
        environment.write(packages=["sudo", "ImageMagick", "vips"])

        said = environment.fab("-H", "web1", "setup").stderr

        assert "web1: changing: package ImageMagick installed" in said
        assert "web1: changing: package vips installed" in said
        assert "package sudo" not in said
        assert "web1: │ Installing: vips" in said
        asked = root(environment, "cat /root/asked").splitlines()
        assert [line for line in asked if line.startswith("dnf")] == [
            "dnf -q -y --setopt=install_weak_deps=False install -- ImageMagick vips"
        ]
        assert "rpm --query --quiet --whatprovides -- vips" in asked
        assert "nothing to change" in environment.fab("-H", "web1", "setup").stderr

        environment.write(packages=["no-such"])
        failed = environment.fab("-H", "web1", "setup", expect=4).stderr
        assert "web1: │ Error: Unable to find a match: no-such" in failed
        assert "dnf could not install the packages" in failed
    finally:
        root(environment, NO_DNF)


COOKIE = "/etc/acme/hello/cookie.env"


def test_a_host_without_a_cookie_joins_the_others_though_they_are_left_out(environment: LabEnvironment) -> None:
    theirs = root(environment, f"cat {COOKIE}")
    root(environment, f"rm {COOKIE}", "web2")
    before = root(environment, f"stat -c '%Y %i' {COOKIE}")

    environment.fab("-H", "web2", "setup", "--restart")

    assert root(environment, f"cat {COOKIE}", "web2") == theirs
    assert root(environment, f"stat -c '%Y %i' {COOKIE}") == before
    assert environment.fab("rpc", "1 + 1", "--host", "web2").stdout == "2\n"


def test_a_host_that_is_left_out_is_no_obstacle_unless_only_it_may_know_the_cookie(
    environment: LabEnvironment,
) -> None:
    environment.write(ssh={**environment.settings["ssh"], "connect_timeout": 3})
    environment.lab.crash("web2")
    try:
        refused = environment.fab("setup", expect=3).stderr
        assert refused.count("error: web2 (") == 1
        assert "nothing was changed on any host" in refused
        assert "meanwhile `fab stage -H web1,build1 setup` does the others" in refused

        said = environment.fab("-H", "web1,build1", "setup").stderr
        assert "web2: warning: left out, and its cookie not compared with the others'" in said
        assert "web1: set up already, nothing to change" in said

        root(environment, f"mv {COOKIE} /root/")
        # A new one would not be web2's.
        assert "nothing was changed on any host" in environment.fab("-H", "web1", "setup", expect=3).stderr
        root(environment, f"mv /root/cookie.env {COOKIE}")
    finally:
        environment.lab.boot("web2")
        environment.fab("-H", "web2", "start")


def test_nodes_answer_before_and_after_their_restart_with_a_rotated_cookie(
    environment: LabEnvironment,
) -> None:
    old = root(environment, f"cat {COOKIE}")
    runs = "Node.get_cookie() |> to_string() |> String.length()"

    narrowed = environment.fab("-H", "web1", "setup", "--rotate-cookie", expect=2).stderr
    assert "--rotate-cookie is for every app host, and -H leaves out web2" in narrowed
    said = environment.fab("setup", "--rotate-cookie").stderr

    new = root(environment, f"cat {COOKIE}")
    assert new == root(environment, f"cat {COOKIE}", "web2") != old
    assert "the app still runs with its old settings (/etc/acme/hello/cookie.env)" in said
    # Until then each is asked with the cookie that it was started with.
    assert environment.fab("rpc", runs, "--host", "web1").stdout == "43\n"

    environment.fab("setup", "--restart")

    assert "old settings" not in environment.fab("setup").stderr
    for host in ("web1", "web2"):
        used = environment.fab("rpc", "Node.get_cookie() |> to_string()", "--host", host).stdout.strip().strip('"')
        assert f"RELEASE_COOKIE={used}" in new.splitlines()


def test_a_helper_that_the_deploy_user_may_not_call_is_reported(environment: LabEnvironment) -> None:
    rule = "deploy ALL=(root) PASSWD: /usr/lib/warpbeam/hello/warpbeam-helper version"
    root(environment, f"echo '{rule}' >/etc/sudoers.d/zz-late; chmod 440 /etc/sudoers.d/zz-late")
    try:
        done = environment.fab("setup", expect=4)
        assert (
            "web1: not as it should be after setup: deploy may not run /usr/lib/warpbeam/hello/warpbeam-helper"
            in done.stderr
        )
    finally:
        root(environment, "rm /etc/sudoers.d/zz-late")


def test_a_root_helper_of_another_version_is_named_with_its_version(environment: LabEnvironment) -> None:
    helper = "/usr/lib/warpbeam/hello/warpbeam-helper"
    # One from before there was a verb that a deploy asks first.
    environment.lab.ssh(
        "web1", f"sudo sed -i 's/^readonly VERSION=.*/readonly VERSION=6/; s/version | ready |/version |/' {helper}"
    )

    refused = environment.fab("deploy", expect=3)

    assert f"web1: the privileged helper has version 6; expected version {HELPER_VERSION}" in refused.stderr
    assert "hint: run `fab stage setup`" in refused.stderr
    environment.fab("setup")
    environment.fab("deploy", "--force")
