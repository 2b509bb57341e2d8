"""The keys for AWS CodeDeploy: docs/codedeploy.md."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

# CodeDeploy allows 1 to 100 characters; a bundle's hooks take these of its deployment group's name.
DeploymentGroup = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.+=,@-](?:[A-Za-z0-9 _.+=,@-]{0,98}[A-Za-z0-9_.+=,@-])?\Z",
        description="a name of at most 100 letters, digits, spaces and _ . + = , @ -",
    ),
]


class CodeDeploy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings for deploys by AWS CodeDeploy.

    `migrate_group` is the deployment group whose instances run the migrations; without one, every instance does.
    """

    migrate_group: DeploymentGroup | None = None
