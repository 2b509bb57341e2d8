"""The values that every template of an app may use."""

from __future__ import annotations

import math
from typing import Any

from warpbeam.helper.program import (
    FIND_AND_EVALUATE,
    HELPER_VERSION,
    MOST_EXPRESSION,
    READ_AND_EVALUATE,
    READ_AND_REQUIRE,
    SUDO_VERBS,
    helper,
    programs,
    record_file,
    sudo_verbs,
)
from warpbeam.host.template import filled
from warpbeam.inventory.schema import SLOTS, Inventory
from warpbeam.network.redirect import port_variables
from warpbeam.provision.admission import admission_names
from warpbeam.runtime.kinds import RUNTIMES


def etc(inventory: Inventory) -> str:
    """Return the directory of the app's settings, which only root can read."""
    return f"/etc/{inventory.org}/{inventory.app}"


def render(template: str, inventory: Inventory, **more: Any) -> str:
    """Return the text of a template for this environment."""
    return filled(
        template,
        environment=inventory.name,
        org=inventory.org,
        app=inventory.app,
        release_name=inventory.release_name,
        deploy_user=inventory.users.deploy,
        app_user=inventory.app_user,
        root=str(inventory.root),
        etc=etc(inventory),
        helper=helper(inventory),
        launch=f"{programs(inventory)}/launch",
        record=record_file(inventory),
        helper_version=HELPER_VERSION,
        helper_verbs=SUDO_VERBS,
        sudo_verbs=sudo_verbs(inventory),
        **admission_names(inventory, etc(inventory)),
        runtimes=RUNTIMES,
        # Each name once: kinds may share it.
        tmp_variables=[*dict.fromkeys(runtime.tmp for runtime in RUNTIMES.values())],
        version_variables=[*dict.fromkeys(runtime.version for runtime in RUNTIMES.values())],
        shared_variables=[*dict.fromkeys(name for runtime in RUNTIMES.values() for name in runtime.shared)],
        most_expression=MOST_EXPRESSION,
        read_and_evaluate=READ_AND_EVALUATE,
        find_and_evaluate=FIND_AND_EVALUATE,
        read_and_require=READ_AND_REQUIRE,
        public_ports=[*inventory.leads("a")],
        port_variables={slot: port_variables(inventory, slot) for slot in SLOTS},
        tracked=inventory.firewall.tracked,
        maintenance_port=inventory.http.maintenance,
        page_ports=inventory.page_ports(),
        ports={slot: [*inventory.leads(slot).values()] for slot in SLOTS},
        dist_port={slot: inventory.dist_port(slot) for slot in SLOTS},
        # The VM's own drain, and five seconds for the VM to notice.
        stop_seconds=math.ceil(inventory.deploy.drain) + 5,
        drain_seconds=f"{inventory.deploy.drain:g}",
        **more,
    )
