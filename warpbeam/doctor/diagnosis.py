"""Findings from a host's facts: one for each check, with what is wrong and how to mend it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from warpbeam.deploy.plan_rollback import BEEN_LIVE
from warpbeam.deploy.verify import Verdict
from warpbeam.doctor.examine import Examination
from warpbeam.doctor.finding import Finding, finding
from warpbeam.error import Problem
from warpbeam.helper.program import HELPER_VERSION, helper
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.secret import Secret
from warpbeam.operate.status import AppStatus
from warpbeam.provision.difference import Difference, outdated
from warpbeam.provision.footprint import Footprint
from warpbeam.provision.host_state import HostState
from warpbeam.provision.other_apps import OtherApp
from warpbeam.provision.rights import excess, has_password, together
from warpbeam.provision.secret_file import digests
from warpbeam.runtime.kinds import COOKIE
from warpbeam.size import size

# Seconds that a host's clock may differ from ours: certificates tolerate as much, and releases are named by time.
SKEW = 2.0
# Share that must be free of a file system's bytes, of its inodes, and of each limit.
ROOM = 0.1
# Bytes that must be free: the unpacked release of a large app.
LEAST = 200_000_000
UNITS = "/lib/systemd/system/"


def converged(
    host: str, want: Footprint, plan: Difference, found: HostState, seen: Examination, env: str
) -> Iterator[Finding]:
    """Yield the findings on users, files, units and the running app, against what setup would make of the host."""
    mend = f"`fab {env} setup --check --diff` shows it, `fab {env} setup` mends it"
    users = [f"{user.name} is not there" for user in plan.users]
    users += [f"{name} may log in: its account has not expired" for name in plan.closed]
    users += [f"systemd starts a manager of its own for {name} at each login" for name in plan.unmanaged]
    keys = [
        *(
            f"{len(each)} {what}"
            for each, what in ((plan.keys_added, "missing"), (plan.keys_removed, "too many"))
            if each
        )
    ]
    if keys:
        users.append(f"deploy keys: {' and '.join(keys)}")
    yield finding(host, "users", users, f"{len(want.users)} as they should be", mend)
    wrong = {**plan.reasons, **dict.fromkeys(plan.absent, "it should not be there")}
    files = [f"{path}: {reason}" for path, reason in wrong.items() if not path.startswith(UNITS)]
    packages = [f"the package {name} is not installed" for name in plan.packages]
    yield finding(
        host, "files", [*files, *packages], f"{len(want.files) + len(want.directories)} as they should be", mend
    )
    if not want.units:
        return
    units = [f"{path}: {reason}" for path, reason in wrong.items() if path.startswith(UNITS)]
    units += [f"{unit} is not enabled" for unit in plan.units]
    if seen.reload:
        units.append(f"systemd has not read what changed in {', '.join(seen.reload)}")
        mend = f"{mend}; `systemctl daemon-reload` on the host has it read again"
    yield finding(host, "units", units, "as their templates say", mend)
    yield _settings(host, want, found, env)


def _settings(host: str, want: Footprint, found: HostState, env: str) -> Finding:
    """Return the finding on whether the app was started after the last change of what it runs with.

    What only `setup` would change counts in `files` and `units`: a restart before that would change nothing.
    """
    kept = {file.path: found.paths.get(file.path) for file in want.files}
    due = {file.path for file in want.files if (there := kept[file.path]) is None or there.sha256 != file.sha256}
    outdated_paths = outdated(want, found)
    late = [path for path in outdated_paths if (there := kept[path]) and there.changed > found.started]
    text = [f"the running app was started before {_names(late)} changed"] if late else []
    well = "the app runs with what is there" if found.started else "no app runs; its next start is with what is there"
    if outdated_paths:
        well += f"; `setup` would change {_names(outdated_paths)}"
    mend = f"`fab {env} setup --restart`" if due.intersection(late) else f"`fab {env} restart`"
    return finding(host, "settings", text, well, mend)


def _names(paths: Sequence[str]) -> str:
    return ", ".join(path.rsplit("/", 1)[1] for path in paths)


def live(host: str, inventory: Inventory, state: AppStatus | Problem | None, seen: Examination) -> Finding:
    """Return the finding on what is live: it must run and be healthy. `state`: None if the host was not asked."""
    env = inventory.name
    if not seen.live:
        was = isinstance(state, AppStatus) and any(release.mark in BEEN_LIVE for release in state.releases)
        text = "nothing is live, although releases have been"
        well = f"nothing has been live here yet: `fab {env} deploy`"
        return finding(host, "live", [text] if was else [], well, f"`fab {env} deploy`, or `fab {env} rollback`")
    # Examination and status ask one after the other: an instance that either found running was running then.
    runs = state.running is not None if isinstance(state, AppStatus) else seen.runs
    if not runs:
        why = "the live release does not run: clients are not served"
        return finding(host, "live", [why], "", f"`fab {env} start`; `fab {env} logs` shows how it ended")
    if not isinstance(state, AppStatus):
        return Finding(
            host, "live", True, f"it runs; its health is not known, because {inventory.users.deploy} could not ask"
        )
    label = state.live_release.label if state.live_release else "a release"
    page = "; maintenance is on: clients see the page" if state.helper.maintenance else ""
    return finding(
        host,
        "live",
        [] if state.verdict == "healthy" else [f"{label} runs, but is not healthy: {state.verdict}"],
        f"{label} runs, healthy{page}",
        f"`fab {env} logs` shows why; `fab {env} rollback` goes back to the release before",
    )


def helpers(inventory: Inventory, found: HostState) -> Iterator[str]:
    """Yield what is wrong with the deploy user's access to the privileged helper."""
    if found.helper != HELPER_VERSION:
        if found.helper:
            yield f"the privileged helper answers version {found.helper}; expected {HELPER_VERSION}"
        else:
            yield f"{inventory.users.deploy} may not run {helper(inventory)} through sudo"


def rights(host: str, inventory: Inventory, found: HostState) -> Finding:
    """Return the finding on the deploy user's rights: it must have no more than its part needs."""
    deploy = inventory.users.deploy
    more = list(excess(inventory, found))
    if has_password(inventory, found):
        more.append("has a password")
    return finding(
        host,
        "rights",
        [f"{deploy} {together(more)}"] if more else [],
        f"{deploy} may log in with a key and ask the privileged helper",
        f"take that from {deploy} on the host (gpasswd --delete, /etc/sudoers.d, usermod --password '*'), "
        "or name another `users.deploy`",
    )


def machine(host: str, seen: Examination, asked: float, received: float) -> Iterator[Finding]:
    """Yield the findings that concern any host: clock, disks, upgrades.

    Parameters:
        asked, received: when we asked the host and when it answered, in seconds since the epoch, by this machine's
            clock. If the host's clock is right, its time lies between them, however busy both machines are.
    """
    clock = float(seen.clock)
    skew = clock - received if clock > received else min(clock - asked, 0)
    way = "ahead of" if skew > 0 else "behind"
    yield finding(
        host,
        "time",
        [f"its clock is {abs(skew):.0f} s {way} this machine's"] if abs(skew) > SKEW else [],
        f"within {SKEW:g} s of this machine's",
        "have chrony or systemd-timesyncd run on both",
    )
    full = []
    for disk in seen.disks:
        if disk.size and (disk.free < ROOM * disk.size or disk.free < LEAST):
            full.append(f"{disk.mount} has {size(disk.free)} of {size(disk.size)} free")
        if disk.inodes and disk.inodes_free < ROOM * disk.inodes:
            full.append(f"{disk.mount} has {disk.inodes_free} of {disk.inodes} inodes free")
    rooms = ", ".join(f"{disk.mount} {disk.free / 1e9:.1f} GB" for disk in seen.disks)
    yield finding(host, "disk", full, f"free: {rooms}", "make room; `deploy.keep` says how many releases stay")
    yield finding(
        host,
        "upgrades",
        seen.restarts,
        "none that restarts the app or the host by itself",
        "leave restarts to `restart` and reboots to `hosts.reboot`: docs/doctor.md says how to tell them",
    )


def contents(host: str, verdicts: Mapping[str, Verdict] | Problem) -> Finding:
    """Return the finding on a host's releases: each must still be what was deployed."""
    if isinstance(verdicts, Problem):
        return Finding(host, "content", False, verdicts.reason, verdicts.hint)
    wrong = [f"{name}: {', '.join(flaws[:3])}" for name, it in verdicts.items() if (flaws := it.flaws())]
    unknown = sum(not it.recorded for it in verdicts.values())
    return finding(
        host,
        "content",
        wrong,
        ("1 release as it was deployed" if len(verdicts) == 1 else f"{len(verdicts)} releases as they were deployed")
        + (f"; {unknown} compared with their own manifests alone" if unknown else ""),
        "somebody changed it on the host: `fab ENV deploy --force` sends the release anew; `restart`, `rollback` and "
        "`start` refuse one that differs",
    )


def logins(host: Host, inventory: Inventory, seen: Examination, apps: Sequence[OtherApp] = ()) -> Finding:
    """Return the finding on other users who may log in: they see the command lines of all users.

    The deploy users of `apps`, other apps on the host, are as little strangers as ours.
    """
    theirs = {app.deploy: app.app for app in apps}
    ours = {inventory.users.deploy, inventory.users.admin or "", seen.me, "root", *theirs}
    deployers = [f"{login.name}, who deploys {theirs[login.name]}" for login in seen.logins if login.name in theirs]
    others = [f"{login.name} (by {login.means})" for login in seen.logins if login.name not in ours]
    hidden = any(
        option in ("hidepid=1", "hidepid=2", "hidepid=4", "hidepid=invisible", "hidepid=noaccess", "hidepid=ptraceable")
        for option in seen.proc.split(",")
    )
    names = ", ".join(others)
    if not others or hidden or "app" not in host.roles:
        return Finding(
            host.name,
            "logins",
            True,
            "; ".join(
                (
                    f"{names}; /proc shows them nothing of others" if others and hidden else names or "none but ours",
                    *deployers,
                )
            ),
        )
    return Finding(
        host.name,
        "logins",
        False,
        f"others may log in: {names}; the process list shows them the arguments of whatever runs",
        "remove them, or mount /proc with hidepid=invisible",
    )


def agreement(inventory: Inventory, seen: Mapping[str, Examination]) -> Iterator[Finding]:
    """Yield the findings on cookie and secrets: all app hosts must have the same ones."""
    env = inventory.name
    cookies = {name: digests(each.cookie or "").get(COOKIE, "") for name, each in seen.items()}
    secrets = {name: digests(each.secrets or "") for name, each in seen.items()}
    for name in seen:
        wrong = []
        if not cookies[name]:
            wrong.append("there is none")
        elif differ := [other for other, digest in cookies.items() if digest and digest != cookies[name]]:
            wrong.append(f"it is not that of {', '.join(differ)}")
        if seen[name].shown:
            wrong.append("the arguments of the running app show one to every user of the host (-setcookie)")
        yield finding(
            name,
            "cookie",
            wrong,
            "the same on all hosts",
            f"`fab {env} setup --rotate-cookie` gives all a new one"
            + (
                "; `restart` starts the app without it, once it is not in the release itself"
                if seen[name].shown
                else ""
            ),
        )
        wrong = []
        own = _secrets_of(inventory, name)
        if absent := [secret for secret in own if secret not in secrets[name]]:
            wrong.append(f"missing: {', '.join(absent)}")
        if extra := [secret for secret in secrets[name] if secret not in own]:
            wrong.append(f"not in the inventory: {', '.join(extra)}")
        for secret, digest in secrets[name].items():
            # A group may have another value.
            differ = [
                other
                for other, have in secrets.items()
                if have.get(secret, digest) != digest and _secrets_of(inventory, other).get(secret) == own.get(secret)
            ]
            if differ:
                wrong.append(f"{secret} is not that of {', '.join(differ)}")
        well = f"{len(own)} there, the same on all hosts" if own else "none asked for"
        yield finding(name, "secrets", wrong, well, f"`fab {env} secrets.push --restart`")


def _secrets_of(inventory: Inventory, name: str) -> Mapping[str, Secret]:
    """Return the secrets of the host of that name: another group may have another value."""
    host = inventory.all_hosts.get(name)
    return inventory.of(host).secrets if host else inventory.secrets
