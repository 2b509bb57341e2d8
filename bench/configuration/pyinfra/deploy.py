"""The operations that docs.pyinfra.com, "Operations Index", names for each step; in parallel, pyinfra's default."""

from pyinfra import host
from pyinfra.operations import files, server, systemd

release = f"/opt/pyinfra/releases/{host.data.release}"
archive = f"{release}.tar.gz"

files.put(name="Bring the artifact", src=host.data.tarball, dest=archive)
server.shell(name="Unpack it", commands=[f"mkdir {release} && tar -xzf {archive} -C {release} && rm {archive}"])
files.link(name="Lead the link there", path="/opt/pyinfra/current", target=release, force=True, force_backup=False)
systemd.service(name="Restart the app", service="pyinfra", running=True, restarted=True, _sudo=True)
server.shell(
    name="Wait until it is healthy",
    commands=[
        "pause=0.05; for i in $(seq 200); do"
        f" curl -fs -o /dev/null http://127.0.0.1:{host.data.port}/health && exit 0; sleep $pause; pause=0.2; done;"
        " exit 1"
    ],
)
