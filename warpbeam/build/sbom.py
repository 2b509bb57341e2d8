"""The SBOM of an artifact: its dependencies, by CycloneDX, for scanners of vulnerabilities."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from warpbeam.build.artifact import Dependency, Manifest
from warpbeam.version import VERSION

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

# The same artifact has the same serial number.
SERIALS = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/warpbeam")
HEX = "hexpm"


def sbom(manifest: Manifest) -> bytes:
    """Return the SBOM of the artifact of `manifest`, as JSON of CycloneDX 1.6."""
    # Loaded by a build alone: it takes a fifth of a second.
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    app = Component(
        type=ComponentType.APPLICATION,
        name=manifest.app,
        version=manifest.version,
        bom_ref="app",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=manifest.sha256)],
        properties=[
            Property(name="warpbeam:version", value=VERSION),
            Property(name="warpbeam:commit", value=manifest.commit),
            Property(name="warpbeam:dirty", value=str(manifest.dirty).lower()),
        ],
    )
    components = [_component(dependency) for dependency in manifest.dependencies]
    for name, version in (("elixir", manifest.toolchain.elixir), ("erlang", manifest.toolchain.otp)):
        components.append(Component(type=ComponentType.PLATFORM, name=name, version=version, bom_ref=f"tool:{name}"))
    document = Bom(serial_number=uuid.uuid5(SERIALS, manifest.sha256), components=components)
    document.metadata.component = app
    document.register_dependency(app, components)
    return JsonV1Dot6(document).output_as_string(indent=1).encode()


def _component(dependency: Dependency) -> Component:
    """Return the component of a dependency."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=dependency.sha256)] if dependency.sha256 else []
    name, version, origin = dependency.name, dependency.version, dependency.origin
    if origin == HEX or origin.startswith(f"{HEX}:"):
        # A package of an organisation: https://github.com/package-url/purl-spec, type hex.
        url = PackageURL("hex", origin.partition(":")[2] or None, name, version)
    elif not dependency.sha256 and "/" in origin:
        url = PackageURL("generic", None, name, version, {"vcs_url": f"git+{origin}@{version}"})
    else:
        url = PackageURL("hex", None, name, version, {"repository_url": origin})
    return Component(
        type=ComponentType.LIBRARY, name=name, version=version, purl=url, bom_ref=f"dep:{name}", hashes=hashes
    )
