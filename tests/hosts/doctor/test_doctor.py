"""`doctor`: what is broken is named with what mends it, what is well is not, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.environment import LabEnvironment

HOST = "web2"
CHECKS = (
    "ssh",
    "sudo",
    "rights",
    "users",
    "files",
    "units",
    "settings",
    "time",
    "disk",
    "upgrades",
    "live",
    "releases",
    "limits",
    "firewall",
    "ports",
    "content",
    "logins",
    "cookie",
    "secrets",
)


@pytest.fixture(autouse=True, scope="module")
def secret(environment: LabEnvironment) -> Iterator[None]:
    """The hosts have a secret, so that there is one to lose."""
    file = environment.directory / "token"
    file.write_text("planted")
    environment.settings["secrets"] = {"TOKEN": {"file": str(file)}, "OTHER": {"file": str(file)}}
    # A lab's hosts get no more of this than the machine they are on has.
    environment.settings["service"] = {"LimitNOFILE": "16384"}
    environment.write()
    environment.fab("setup", "--restart")
    yield
    del environment.settings["secrets"], environment.settings["service"]
    environment.write()
    environment.fab("setup", "--restart")


def findings(environment: LabEnvironment, expect: int) -> dict[tuple[str, str], dict[str, str]]:
    """`doctor --json`, by host and check."""
    done = environment.fab("doctor", "--json", expect=expect)
    assert "planted" not in done.stdout + done.stderr
    return {(row["host"], row["check"]): row for row in json.loads(done.stdout)}


def wrong(environment: LabEnvironment, expect: int = 5) -> dict[tuple[str, str], dict[str, str]]:
    """Return what it found wrong."""
    return {key: row for key, row in findings(environment, expect).items() if not row["ok"]}


def test_all_is_well_and_there_is_a_line_for_each_check_and_host(environment: LabEnvironment) -> None:
    done = environment.fab("doctor")

    lines = [line.split()[:3] for line in done.stdout.splitlines()]
    assert [line[1] for line in lines if line[0] == "web1"] == list(CHECKS)
    assert [line[1] for line in lines if line[0] == "build1"] == [
        "ssh",
        "sudo",
        "rights",
        "users",
        "files",
        "time",
        "disk",
        "upgrades",
        "logins",
        "tools",
    ]
    assert {line[2] for line in lines} == {"ok"}
    assert "all is well: 48 checks" in done.stderr


def test_it_changes_nothing(environment: LabEnvironment) -> None:
    look = (
        "find /etc /opt /usr/lib/warpbeam /lib/systemd /root /home /var/lib /usr/local -xdev -newermt @0 "
        "-printf '%p %m %u %g %i %s %T@ %C@\\n' | grep -v '^/var/lib/systemd/\\|^/var/lib/sudo' | sort; "
        "nft --stateless --terse list ruleset; systemctl list-units --plain --no-legend --state=failed; ip netns"
    )
    before = environment.lab.ssh(HOST, f'sudo sh -c "{look}"').stdout
    pid = environment.status()[HOST]["pid"]

    findings(environment, 0)

    assert environment.lab.ssh(HOST, f'sudo sh -c "{look}"').stdout == before
    assert environment.status()[HOST]["pid"] == pid


class Break(NamedTuple):
    """A fault of a host: how it is made and mended, the checks that find it, their words and advice."""

    harm: str
    mend: str
    says: dict[str, str]
    tells: str = ""


NEEDRESTART = r"""
%nrconf = (restart => 'a', override_rc => { qr(^dbus) => 0, qr(^systemd-) => 0 });
if (-d q(/etc/needrestart/conf.d)) {
  foreach my $fn (sort </etc/needrestart/conf.d/*.conf>) { eval do { local(@ARGV, $/) = $fn; <>; } }
}
1;
"""
LIVE = "$(sudo readlink -f /opt/acme/hello/current)"
BREAKS = {
    "a key of the deploy user": Break(
        "sudo mv /home/deploy/.ssh/authorized_keys /root/",
        "sudo mv /root/authorized_keys /home/deploy/.ssh/",
        {"ssh": "", "users": "deploy keys: 1 missing", "files": "authorized_keys: it is not there"},
    ),
    "the sudo rule": Break(
        "sudo mv /etc/sudoers.d/warpbeam-hello /root/",
        "sudo mv /root/warpbeam-hello /etc/sudoers.d/",
        {
            "sudo": "deploy may not run /usr/lib/warpbeam/hello/warpbeam-helper",
            "files": "warpbeam-hello: it is not there",
        },
        "setup",
    ),
    "a user": Break("sudo userdel warpbeam-page", "true", {"users": "warpbeam-page is not there"}, "setup"),
    "a mode": Break(
        "sudo chmod 777 /opt/acme/hello/releases",
        "sudo -u deploy chmod 2750 /opt/acme/hello/releases",
        {"files": "/opt/acme/hello/releases: it is 2777 deploy:hello"},
        "setup",
    ),
    "a file of the release": Break(
        f"sudo chmod g+w {LIVE}/bin/hello",
        f"sudo -u deploy chmod go-w {LIVE}/bin/hello",
        {"releases": "/bin/hello: it is 770 deploy:hello; nobody but deploy should write there"},
        "sudo -u deploy chmod -R go-w /opt/acme/hello/releases",
    ),
    "a directory of the release": Break(
        f"sudo chmod o+w {LIVE}/lib",
        f"sudo -u deploy chmod go-w {LIVE}/lib",
        {"releases": "/lib: it is 752 deploy:hello; nobody", "content": "the directory 'lib' is 752"},
        "sudo -u deploy chmod -R go-w /opt/acme/hello/releases",
    ),
    "a unit": Break(
        "echo '# by hand' | sudo tee -a /lib/systemd/system/hello@.service",
        "true",
        {"units": "/lib/systemd/system/hello@.service: it was changed by hand", "settings": "hello@.service"},
        "setup",
    ),
    "a unit that is not enabled": Break(
        "sudo systemctl disable hello.service",
        "sudo systemctl enable hello.service",
        {"units": "hello.service is not enabled"},
    ),
    "a drop-in that systemd has not read": Break(
        "sudo mkdir -p /etc/systemd/system/hello@.service.d && sleep 1.1 && "
        "printf '[Service]\\nNice=1\\n' | sudo tee /etc/systemd/system/hello@.service.d/x.conf",
        "sudo rm -r /etc/systemd/system/hello@.service.d; sudo systemctl daemon-reload",
        {"units": "systemd has not read what changed in hello@"},
        "daemon-reload",
    ),
    "settings that the app does not have": Break(
        "sleep 1.1; sudo touch /etc/acme/hello/app.env",
        "true",
        {"settings": "app.env"},
        "restart",
    ),
    "the clock": Break(
        "sudo tee /usr/local/bin/date <<'X'\n"
        "#!/bin/sh\n"
        'case $* in *%s.%N) echo $(($(/bin/date +%s) - 3600)).0 ;; *) exec /bin/date "$@" ;; esac\n'
        "X\nsudo chmod 755 /usr/local/bin/date",
        "sudo rm /usr/local/bin/date",
        {"time": "s behind this machine's"},
        "chrony",
    ),
    "a disk": Break(
        "sudo fallocate -l $(( $(df --output=avail -B1 /opt | tail -n 1) - 50000000 )) /opt/filler",
        "sudo rm /opt/filler",
        {"disk": "/opt has "},
        "make room",
    ),
    "inodes": Break(
        "sudo sh -c 'mkdir /opt/filler; cd /opt/filler; seq $(($(df --output=iavail .|tail -n1)-300)) | xargs touch'",
        "sudo rm -r /opt/filler",
        {"disk": "inodes free"},
        "make room",
    ),
    "a limit": Break(
        "sudo mkdir -p /etc/systemd/system/hello@.service.d && "
        "printf '[Service]\\nLimitNOFILE=1024\\n' | sudo tee /etc/systemd/system/hello@.service.d/x.conf && "
        "sudo systemctl daemon-reload && "
        "sudo systemctl restart hello@$(basename $(sudo readlink /opt/acme/hello/current)) && "
        # Healthy again before it is looked at.
        "timeout 20 bash -c 'until : </dev/tcp/127.0.0.1/80; do sleep 0.1; done' 2>/dev/null",
        "sudo rm -r /etc/systemd/system/hello@.service.d; sudo systemctl daemon-reload; "
        "sudo systemctl restart hello@$(basename $(sudo readlink /opt/acme/hello/current))",
        {"limits": "the app may open 1024 files; expected 16384"},
        "LimitNOFILE",
    ),
    "a rule of the firewall": Break(
        "sudo nft flush chain inet warpbeam_hello output",
        "true",
        {"firewall": "the table inet warpbeam_hello is not what /etc/acme/hello/redirect-"},
        "firewall.apply",
    ),
    "a rule too many": Break(
        "sudo nft insert rule inet warpbeam_hello input tcp dport 4001 accept",
        "true",
        {"firewall": "is not what"},
        "firewall.apply",
    ),
    "the whole table": Break(
        "sudo nft delete table inet warpbeam_hello",
        "true",
        {"firewall": "the table inet warpbeam_hello is not loaded"},
        "firewall.apply",
    ),
    "a port": Break(
        "sudo systemd-run --unit=thief systemd-socket-activate --listen=4003 cat && sleep 1",
        "sudo systemctl stop thief",
        {"ports": "(thief.service) has port 4003"},
        "choose other ports",
    ),
    "the public port": Break(
        "sudo systemd-run --unit=thief systemd-socket-activate --listen=80 cat && sleep 1",
        "sudo systemctl stop thief",
        {"ports": "(thief.service) has port 80"},
    ),
    "needrestart": Break(
        "sudo mkdir -p /etc/needrestart/conf.d && sudo tee /etc/needrestart/needrestart.conf <<'X'\n"
        + NEEDRESTART
        + "X\nsudo ln -s /bin/true /usr/sbin/needrestart",
        "sudo rm -r /etc/needrestart /usr/sbin/needrestart",
        {"upgrades": "needrestart may restart hello@a.service"},
        "docs/doctor.md",
    ),
    "unattended-upgrades": Break(
        "sudo ln -s /bin/true /usr/bin/unattended-upgrade; "
        "echo 'Unattended-Upgrade::Automatic-Reboot \"true\";' | sudo tee /etc/apt/apt.conf.d/99reboot",
        "sudo rm /usr/bin/unattended-upgrade /etc/apt/apt.conf.d/99reboot",
        {"upgrades": "unattended-upgrades may reboot this host"},
        "docs/doctor.md",
    ),
    "the cookie": Break(
        "sudo sed -i.was 's/^RELEASE_COOKIE=.*/RELEASE_COOKIE=another/' /etc/acme/hello/cookie.env",
        "sudo mv /etc/acme/hello/cookie.env.was /etc/acme/hello/cookie.env",
        {"cookie": "it is not that of web1"},
        "--rotate-cookie",
    ),
    "a secret": Break(
        "sudo sed -i.was '/^TOKEN=/d; s/^OTHER=.*/OTHER=\"another\"/' /etc/acme/hello/secrets.env",
        "sudo mv /etc/acme/hello/secrets.env.was /etc/acme/hello/secrets.env",
        {"secrets": "missing: TOKEN; OTHER is not that of web1"},
        "secrets.push",
    ),
    "the mode of secrets": Break(
        "sudo chmod 644 /etc/acme/hello/secrets.env",
        "sudo chmod 600 /etc/acme/hello/secrets.env",
        {"files": "/etc/acme/hello/secrets.env: it is 644 root:root"},
    ),
    "a group of the deploy user": Break(
        "sudo gpasswd --add deploy systemd-journal",
        "sudo gpasswd --delete deploy systemd-journal",
        {"rights": "deploy is in the group systemd-journal"},
        "gpasswd",
    ),
    "another user": Break(
        "sudo useradd -m -s /bin/bash ann && sudo install -D -o ann /home/admin/.ssh/authorized_keys "
        "/home/ann/.ssh/authorized_keys",
        "sudo userdel -r ann",
        {"logins": "ann (by key)"},
        "hidepid",
    ),
}
# Faults that a host can have at once, so one look at the host must name all of them.
TOGETHER = (
    (
        "a key of the deploy user",
        "the sudo rule",
        "a user",
        "a mode",
        "a file of the release",
        "a unit that is not enabled",
        "the clock",
        "a disk",
        "a rule of the firewall",
        "a port",
        "needrestart",
        "the cookie",
        "the mode of secrets",
        "a group of the deploy user",
        "another user",
    ),
    (
        "a unit",
        "a drop-in that systemd has not read",
        "settings that the app does not have",
        "a directory of the release",
        "inodes",
        "the whole table",
        "the public port",
        "unattended-upgrades",
        "a secret",
    ),
    ("a limit", "a rule too many"),
)


def test_everything_is_broken_at_some_time() -> None:
    assert sorted(name for names in TOGETHER for name in names) == sorted(BREAKS)


@pytest.mark.parametrize("names", TOGETHER, ids=["one", "two", "three"])
def test_what_is_broken_is_named_with_what_mends_it_and_nothing_else_is(
    environment: LabEnvironment, names: tuple[str, ...]
) -> None:
    for name in names:
        environment.lab.ssh(HOST, BREAKS[name].harm)
    try:
        told = wrong(environment)

        for name in names:
            broken = BREAKS[name]
            for check, text in broken.says.items():
                assert (HOST, check) in told, f"{name}: {told.keys()}"
                assert text in told[HOST, check]["found"], name
                assert told[HOST, check]["mend"] or check == "ssh"
            assert broken.tells in told[HOST, next(iter(broken.says))]["mend"], name
        expected = {check for name in names for check in BREAKS[name].says}
        # These follow from what was broken.
        others = {check for host, check in told if host == HOST} - expected
        assert others <= {"settings", "files", "cookie", "secrets", "units"}, told
        # The other hosts are only told where they disagree with it.
        assert {check for host, check in told if host != HOST} <= {"cookie", "secrets"}
    finally:
        for name in reversed(names):
            environment.lab.ssh(HOST, BREAKS[name].mend, check=False)
        environment.fab("setup", "--restart")
        environment.fab("firewall.apply")
        environment.fab("secrets.push", "--restart")
    assert wrong(environment, 0) == {}


def test_an_app_that_does_not_run_is_the_one_thing_that_is_wrong(
    environment: LabEnvironment,
) -> None:
    environment.fab("-H", HOST, "stop")
    try:
        told = findings(environment, 5)
    finally:
        environment.fab("-H", HOST, "start")
    assert [key for key, row in told.items() if not row["ok"]] == [(HOST, "live")]
    assert "does not run" in told[HOST, "live"]["found"]
    assert "`fab stage start`" in told[HOST, "live"]["mend"]
    assert "no app runs" in told[HOST, "settings"]["found"]
    assert "runs, healthy" in told["web1", "live"]["found"]


def test_a_needrestart_with_an_exception_for_the_app_is_well(environment: LabEnvironment) -> None:
    broken = BREAKS["needrestart"]
    environment.lab.ssh(HOST, broken.harm)
    try:
        rule = "$nrconf{override_rc}{qr(^hello(@[ab])?\\.service$)} = 0;"
        environment.lab.ssh(HOST, f"sudo tee /etc/needrestart/conf.d/warpbeam.conf <<'X'\n{rule}\nX")
        assert wrong(environment, 0) == {}
    finally:
        environment.lab.ssh(HOST, broken.mend)


def test_a_host_that_cannot_be_reached_is_named_and_the_others_are_looked_at(environment: LabEnvironment) -> None:
    environment.lab.crash(HOST)
    try:
        told = findings(environment, 5)

        assert [check for host, check in told if host == HOST] == ["ssh"]
        assert not told[HOST, "ssh"]["ok"]
        assert [check for host, check in told if host == "web1"] == list(CHECKS)
    finally:
        environment.lab.boot(HOST)
        environment.fab("-H", HOST, "start")


def test_doctor_finds_a_deploy_user_whom_sshd_refuses_although_its_keys_are_there(
    environment: LabEnvironment,
) -> None:
    config = "/etc/ssh/sshd_config.d/allow.conf"
    environment.lab.ssh(HOST, f"echo 'AllowUsers admin' | sudo tee {config} && sudo systemctl reload ssh")
    try:
        told = wrong(environment)
    finally:
        environment.lab.ssh(HOST, f"sudo rm {config} && sudo systemctl reload ssh")

    # The admin got in, so all else was looked at, and is well.
    assert list(told) == [(HOST, "ssh")]
    assert "does not let deploy in; keys tried: " in told[HOST, "ssh"]["found"]
    assert "AllowUsers" in told[HOST, "ssh"]["mend"]
    assert wrong(environment, 0) == {}


def test_an_admin_who_may_not_become_root_is_reported(environment: LabEnvironment) -> None:
    environment.lab.ssh(
        HOST,
        "sudo useradd -m -s /bin/bash ann && sudo cp -r /home/admin/.ssh /home/ann/ && sudo chown -R ann /home/ann",
    )
    try:
        environment.write(users={"admin": "ann"})
        told = {key: row for key, row in findings(environment, 5).items() if key[0] == HOST}

        assert [check for _, check in told] == ["ssh", "sudo"]
        assert "the admin may not become root" in told[HOST, "sudo"]["found"]
    finally:
        environment.write()
        # By force: what our connection began there may take a moment to end.
        environment.lab.ssh(HOST, "sudo userdel --remove --force ann")
