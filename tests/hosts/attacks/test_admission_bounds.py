"""Attacks on what root keeps of admitted releases: what was revoked does not stay, and what counts does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.admission import HOST, Admission, switched_on
from tests.background import eventually
from tests.environment import LabEnvironment

# Copies of the live release, under names of the attacker's.
OLD, OTHER, THIRD = "20200101T000000Z", "20200101T000001Z", "20200101T000002Z"
KEPT = 2
# A pipe that nobody reads, at descriptor 3 of a script of the deploy user's.
FULL = """cd $R/activation; rm -f full; mkfifo full; exec 3<>full
    dd if=/dev/zero of=full bs=4k oflag=nonblock status=none 2>/dev/null || true"""


@pytest.fixture(scope="module")
def admission(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admission]:
    """A host that admits what alice signs and keeps one release; its live release is hers."""
    yield from switched_on(environment, tmp_path_factory.mktemp("signers"), keep=KEPT)


@pytest.fixture
def job(admission: Admission) -> Iterator[None]:
    """The attacker's job runs as an activation."""
    admission.run_job("sleep 300")
    yield
    admission.end_job()


def copied(admission: Admission, *names: str) -> str:
    """Copy the live release under other names, as the deploy user may; the name of the live one."""
    release = admission.live().rpartition("/")[2]
    script = (f"rm -rf $R/releases/{name}; cp -al $R/releases/{{{release},{name}}}" for name in names)
    admission.as_deploy("\n".join(script))
    return release


def test_a_revoked_release_stays_for_no_trick_of_the_deploy_user(admission: Admission) -> None:
    """A job that never ends, a running slot, a directory with a forged name, a caller that reads nothing."""
    before = admission.live()
    copied(admission, OLD)
    idle = "b" if admission.environment.status()[HOST]["slot"] == "a" else "a"
    admission.as_deploy(f"rm $R/releases/{OLD}/.warpbeam/signature")
    admission.sign(OLD, admission.bob)
    admission.write(admission.alice.allowed() + admission.bob.allowed())
    admission.environment.fab("setup")
    assert admission.call("admit", f"{OLD}\n").returncode == 0
    admission.run_job("sleep 300")
    try:
        admission.as_deploy(f"""
            ln -sfn ../releases/{OLD} $R/slots/{idle}; sudo -n $H start <<<{idle}
            unshare -rm bash -c 'mount -t tmpfs x /opt; mkdir -p /opt/acme/hello.admitted/{OLD}
              cd /opt/acme/hello.admitted/{OLD}; exec sleep 300' >/dev/null 2>&1 </dev/null &
            {FULL}
            sudo -n $H admit <<<{OLD} >&3 2>/dev/null &
            sleep 1""")
        assert admission.as_root(f"readlink $A/{idle}") == f"{OLD}\n"
        admission.write(admission.alice.allowed() + admission.bob.allowed(), revoked=f"{admission.bob.public}\n")
        said = admission.environment.fab("setup", expect=None)
        started = admission.call("start", f"{idle}\n")
        left = admission.as_root(f"ls -d $A/{OLD}; systemctl is-active hello@{idle}", check=False)
    finally:
        admission.end_job()
        admission.as_root("pkill -KILL -u deploy sleep", check=False)
    assert (said.returncode, OLD in said.stderr) == (0, False), said.stderr
    assert left == "inactive\n"
    assert "is not admitted" in started.stderr
    assert admission.live() == before


def test_no_admission_makes_more_copies_than_the_bound(admission: Admission, job: None) -> None:
    names = [f"20200101T00010{number}Z" for number in range(KEPT + 4)]
    release = copied(admission, "20991231T000000Z", *names)

    ahead = admission.call("admit", "20991231T000000Z\n").stderr
    ended = [admission.call("admit", f"{name}\n").stdout.split()[-1:] for name in names]
    found = admission.admitted()
    admission.as_deploy("rm -rf $R/releases/20991231T*; rm -rf $R/releases/20200101*")
    assert admission.call("admit", f"{release}\n").returncode == 0
    left = admission.admitted()

    assert "is ahead of this host's clock" in ahead
    assert (ended[-1], "20991231T000000Z" in found) == (["admitted"], False)
    assert len(found - {release}) <= KEPT + 2 + 1
    # A copy whose release is gone is removed, also while an activation runs.
    assert not [name for name in left if name.startswith("20200101")]


def test_limits_of_the_caller_and_forged_directories_remove_nothing(admission: Admission) -> None:
    release = copied(admission, OTHER)
    assert admission.call("admit", f"{OTHER}\n").returncode == 0

    limits = [*(f"-n {number}" for number in range(9, 18, 2)), "-v 60000", "-s 8", "-u 3", "-d 0"]
    for limit in limits:
        admission.as_deploy(f"ulimit {limit}; sudo -n $H reconcile </dev/null", check=False)

    assert {release, OTHER} <= admission.admitted()


def test_a_caller_that_reads_nothing_holds_no_lock_of_roots(admission: Admission) -> None:
    release = copied(admission, OLD)
    admission.as_deploy(f"""
        {FULL}
        sudo -n $H admit <<<{OLD} >&3 2>&3 &
        sleep 2""")

    script = f"SECONDS=0; sudo -n $H admit <<<{release} >/dev/null; sudo -n $H reconcile; echo $SECONDS"
    took = admission.as_deploy(script, check=False)
    admission.as_root("pkill -KILL -u deploy sudo; pkill -KILL -f 'warpbeam-helper [a]dmit'", check=False)

    assert took.stdout.strip().isdigit(), took.stderr
    assert int(took.stdout) < 20


def test_a_reader_that_is_stopped_holds_no_lock_while_the_live_release_is_admitted(admission: Admission) -> None:
    """Root has no link of the live slot, and the attacker stops whatever reads the files for its admission."""
    before = admission.live()
    release = copied(admission, THIRD)
    slot = admission.environment.status()[HOST]["slot"]
    admission.as_root(f"rm $A/{slot}")
    admission.as_deploy(f"""
        ln -sfn ../releases/{THIRD} $R/slots/{slot}
        (while :; do pkill -STOP -x tar || true; done) >/dev/null 2>&1 </dev/null & echo $! >$R/activation/stops
        sudo -n $H reconcile >/dev/null 2>&1 </dev/null &
        sleep 3""")
    took = admission.as_deploy(f"SECONDS=0; sudo -n $H switch <<<{slot}; echo $SECONDS", check=False)
    admission.as_deploy(f"""
        kill $(cat $R/activation/stops) || true; pkill -KILL -x tar || true
        ln -sfn ../releases/{release} $R/slots/{slot}""")
    admission.as_root("$H reconcile", check=False)

    assert took.returncode == 0, took.stderr
    assert int(took.stdout.split()[-1]) < 10
    assert eventually(lambda: admission.live() == before)


def test_setup_gives_the_live_release_its_copy_and_fails_where_it_cannot(admission: Admission) -> None:
    """A setup that was cut off has written the signers, and root has no copy."""
    before = admission.live()
    release = before.rpartition("/")[2]
    slot = admission.environment.status()[HOST]["slot"]
    admission.as_root(f"rm -f $R/slots/{'b' if slot == 'a' else 'a'} $A/{slot}; mv $A/{release} $A/.aside")
    admission.as_deploy(f"""
        cd $R/releases/{release}; chmod u+w bin bin/hello; cp -a bin/hello ../../was; echo >>bin/hello""")

    failed = admission.environment.fab("setup", expect=4)
    admission.as_deploy(f"mv -f $R/was $R/releases/{release}/bin/hello")
    mended = admission.environment.fab("setup")

    assert f"not as it should be after setup: the live release {release} admitted" in failed.stderr
    assert f"the live release {release} admitted (root has no copy)" in mended.stderr + mended.stdout
    linked, *copies = admission.as_root(f"readlink $A/{slot}; rm -rf $A/.aside; $H admitted").splitlines()
    assert linked == release
    assert [line.split(" ")[2] for line in copies if line.startswith(release)] == [""]
