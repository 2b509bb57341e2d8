"""The commands of docs/hosts-from.md, with the real jq and, where it is installed, the real Terraform."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from warpbeam.inventory.read import read_inventory

PAGE = (Path(__file__).parents[3] / "docs" / "hosts-from.md").read_text()

AWS = {
    "Reservations": [
        {
            "Instances": [
                {
                    "InstanceId": "i-0abc",
                    "State": {"Code": 16, "Name": "running"},
                    "PrivateIpAddress": "10.0.0.1",
                    "Tags": [{"Key": "app", "Value": "shop"}, {"Key": "group", "Value": "worker"}],
                },
                {"InstanceId": "i-0def", "PrivateIpAddress": "10.0.0.2", "Tags": [{"Key": "app", "Value": "shop"}]},
            ]
        }
    ]
}
HETZNER = [
    {"id": 1, "name": "web1", "labels": {"app": "shop"}, "public_net": {"ipv4": {"ip": "192.0.2.1"}}},
    {
        "id": 2,
        "name": "job1",
        "labels": {"app": "shop", "group": "worker"},
        "public_net": {"ipv4": {"ip": "192.0.2.2"}},
    },
]
TAILSCALE = {
    "Self": {"HostName": "laptop", "TailscaleIPs": ["100.64.0.9"]},
    "Peer": {
        "nodekey:1": {
            "HostName": "web1",
            "Tags": ["tag:shop"],
            "TailscaleIPs": ["100.64.0.1", "fd7a::1"],
            "Online": True,
        },
        "nodekey:2": {"HostName": "phone", "TailscaleIPs": ["100.64.0.2"], "Online": True},
        "nodekey:3": {"HostName": "db1", "Tags": ["tag:other"], "TailscaleIPs": ["100.64.0.3"], "Online": False},
    },
}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def inventory_of(title: str) -> str:
    """The part of an inventory that a section shows."""
    found = re.search(r"^```yaml\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def hosts(directory: Path, text: str) -> dict[str, tuple[Any, Any]]:
    """The address and the group of each host of such an inventory, whose file is in `directory`."""
    (directory / "x.yml").write_text(f"org: acme\napp: shop\n{text}")
    found = read_inventory(directory / "x.yml").hosts
    return {name: (host.address, host.group) for name, host in found.items()}


@pytest.mark.parametrize(
    ("title", "program", "words", "answer", "found"),
    [
        ("AWS", "aws", "ec2 describe-instances --output json --filters Name=tag:app,Values=shop "
         "Name=instance-state-name,Values=running", AWS,
         {"i-0abc": ("10.0.0.1", "worker"), "i-0def": ("10.0.0.2", None)}),
        ("Hetzner", "hcloud", "server list --selector app=shop --output json", HETZNER,
         {"web1": ("192.0.2.1", None), "job1": ("192.0.2.2", "worker")}),
        ("Tailscale", "tailscale", "status --json", TAILSCALE, {"web1": ("100.64.0.1", None)}),
    ],
    ids=["aws", "hcloud", "tailscale"],
)  # fmt: skip
def test_a_command_line_of_the_page_makes_hosts_of_what_the_tool_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, title: str, program: str, words: str, answer: Any, found: Any
) -> None:
    assert shutil.which("jq"), "script/test installs it"
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    fake = tmp_path / program
    fake.write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/asked\ncat {tmp_path}/answer.json\n')
    fake.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert hosts(tmp_path, inventory_of(title)) == found
    assert (tmp_path / "asked").read_text() == f"{words}\n"


def test_terraforms_own_output_is_the_form(tmp_path: Path) -> None:
    terraform = shutil.which("terraform") or shutil.which("tofu")
    if terraform is None:
        pytest.skip("neither terraform nor tofu is installed")
    there = tmp_path / "infrastructure"
    there.mkdir()
    (tmp_path / "inventory").mkdir()
    # The page's own expression, about instances that need no cloud.
    (there / "main.tf").write_text(
        'variable "web" {\n'
        '  default = [{ tags = { Name = "web1" }, private_ip = "10.0.0.1" }]\n'
        "}\n" + section("Terraform").split("```\n")[1].replace("aws_instance.web", "var.web")
    )
    for words in (("init",), ("apply", "-auto-approve")):
        subprocess.run([terraform, *words, "-input=false"], cwd=there, check=True, capture_output=True)
    text = inventory_of("Terraform").replace("terraform ", f"{terraform} ")

    assert hosts(tmp_path / "inventory", text) == {"web1": ("10.0.0.1", None)}
