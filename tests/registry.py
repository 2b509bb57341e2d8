"""A registry of images on the build host of a lab: one image, one that is gone, one that is private."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

from tests.background import eventually
from tests.lab import LabHandle

PLACE = "127.0.0.1:5005"
# The API of registries (github.com/opencontainers/distribution-spec). The image `zeros` has 256 MB in one small layer.
SERVER = """
import gzip, hashlib, http.server, io, json, tarfile

def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()

def described(content, kind):
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": digest(content), "size": len(content)}

packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as archive:
    entry = tarfile.TarInfo("zeros")
    entry.size = 256 << 20
    archive.addfile(entry, io.BytesIO(bytes(entry.size)))
layer = gzip.compress(packed.getvalue(), 1)
root = {"type": "layers", "diff_ids": [digest(packed.getvalue())]}
config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": root, "config": {}}).encode()
manifest = json.dumps({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": described(config, "config.v1+json"), "layers": [described(layer, "layer.v1.tar+gzip")],
}).encode()
BLOBS = {digest(content): content for content in (layer, config)}


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, content = 404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
        if self.path == "/v2/":
            status, content = 200, b"{}"
        elif self.path.startswith("/v2/private/"):
            status, content = 401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'
        elif self.path.startswith("/v2/zeros/manifests/"):
            status, content = 200, manifest
        elif self.path.rpartition("/")[2] in BLOBS:
            status, content = 200, BLOBS[self.path.rpartition("/")[2]]
        self.send_response(status)
        if content is manifest:
            self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


http.server.ThreadingHTTPServer(("127.0.0.1", 5005), Registry).serve_forever()
"""
INSECURE = f"""
mkdir -p ~/.config/containers/registries.conf.d
printf '[[registry]]\\nlocation = "{PLACE}"\\ninsecure = true\\n' >~/.config/containers/registries.conf.d/test.conf
"""


@contextmanager
def registry(lab: LabHandle, host: str) -> Iterator[str]:
    """The place of the registry, which runs on the host meanwhile; the deploy user's engine trusts it."""
    text = base64.b64encode(SERVER.encode()).decode()
    lab.ssh(host, INSECURE, "deploy")
    lab.ssh(
        host, f"echo {text} | base64 -d >/tmp/registry.py; sudo systemd-run -q --unit=images python3 /tmp/registry.py"
    )
    answers = f"curl -sf -o /dev/null http://{PLACE}/v2/"
    try:
        assert eventually(lambda: lab.ssh(host, answers, check=False).returncode == 0)
        yield PLACE
    finally:
        lab.ssh(host, "sudo systemctl stop images; rm /tmp/registry.py")
