"""The hosts, with the SSH connector's data as docs.pyinfra.com, "@ssh Connector", lists it."""

import json
import os

_given = json.loads(os.environ["BENCH_SITE"])

app = (
    _given["hosts"],
    {
        "ssh_user": "admin",
        "ssh_config_file": _given["ssh_config"],
        "ssh_key": _given["key"],
        "ssh_known_hosts_file": _given["known_hosts"],
        "ssh_strict_host_key_checking": "yes",
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
        "tarball": _given["tarball"],
        "release": _given["release"],
        "port": _given["port"],
    },
)
