"""The reading of an app's files as text: mix.exs, config/runtime.exs and modules, and nothing of comments."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.init.code import drains, find_health_path, find_migrate
from warpbeam.init.mix_file import MixFile, read_mix_file
from warpbeam.init.repository import read_app
from warpbeam.init.variables import Variable, read_variables

HELLO = Path(__file__).parents[3] / "examples" / "hello"
PHOENIX = """
defmodule Shop.MixProject do
  use Mix.Project
  # app: :wrong, {:distillery, "~> 2.0"}
  def project do
    [app: :shop, version: "0.1.0", start_permanent: Mix.env() == :prod, aliases: aliases(), deps: deps()]
  end
  def application, do: [mod: {Shop.Application, []}, extra_applications: [:logger]]
  defp deps do
    [
      {:phoenix, "~> 1.7.14"},
      {:ecto_sql, "~> 3.10"},
      {:billing, git: "git@git.example.org:acme/billing.git", tag: "1.0"},
      {:tools, git: "ssh://git@git.example.org/tools.git"},
      {:open, git: "https://git.example.org/open.git"},
      {:hub, github: "acme/hub"}
    ]
  end
  defp aliases, do: ["assets.deploy": ["esbuild shop --minify", "phx.digest"]]
end
"""
UMBRELLA = """
defmodule Shop.Umbrella.MixProject do
  use Mix.Project
  def project, do: [apps_path: "apps", version: "0.1.0", releases: releases(), default_release: :shop]
  defp releases do
    [
      worker: [applications: [jobs: :permanent]],
      shop: [applications: [shop_web: :permanent], steps: [&assets/1, :assemble, :tar]],
      {:third, [applications: [third: :permanent]]}
    ]
  end
  defp assets(release) do
    Mix.Task.run("assets.deploy")
    release
  end
end
"""


def test_names_releases_and_dependencies_are_read_from_mix_exs() -> None:
    found = read_mix_file(PHOENIX)

    assert (found.module, found.app, found.apps_path, found.releases) == ("Shop", "shop", "", ())
    assert {"phoenix", "ecto_sql", "billing", "hub"} <= found.deps
    assert "distillery" not in found.deps
    assert found.private == ("billing", "tools")
    assert not found.tars


def test_the_releases_of_an_umbrella_are_read_from_the_function_that_has_them() -> None:
    found = read_mix_file(UMBRELLA)

    assert (found.app, found.apps_path, found.default_release) == ("", "apps", "shop")
    assert found.releases == ("worker", "shop", "third")
    assert found.tars


def test_the_sample_app_is_read_as_it_is() -> None:
    found = read_mix_file((HELLO / "mix.exs").read_text())

    assert (found.module, found.app, found.releases, found.tars) == ("Hello", "hello", ("hello",), False)


@pytest.mark.parametrize(
    "text", ["", "[", "releases:", "defp releases", '"unended', "# app: :a", "releases: x()", "\0{"]
)
def test_a_text_that_is_no_mix_exs_has_no_facts(text: str) -> None:
    assert read_mix_file(text) == MixFile()


@given(st.text(alphabet="[]{}()\"'#~?:|do end,=>\n abc\\"))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    read_mix_file(f"releases: {text}")
    read_variables(text)
    find_health_path([text])


def test_variables_are_required_where_the_text_raises_without_them() -> None:
    text = """
    # System.fetch_env!("NOT_THIS")
    if System.get_env("PHX_SERVER"), do: config :shop, ShopWeb.Endpoint, server: true
    url = System.get_env("DATABASE_URL") || raise "environment variable DATABASE_URL is missing."
    key =
      System.get_env("SECRET_KEY_BASE") ||
        raise \"\"\"
        System.fetch_env!("NOR_THIS")
        \"\"\"
    host = System.get_env("PHX_HOST") || "example.com"
    port = String.to_integer(System.get_env("PORT", "4000"))
    System.fetch_env!("API_KEY")
    "PEERS" |> System.get_env("") |> String.split()
    System.get_env(name)
    """

    assert read_variables(text) == (
        Variable("PHX_SERVER", False),
        Variable("DATABASE_URL", True),
        Variable("SECRET_KEY_BASE", True),
        Variable("PHX_HOST", False),
        Variable("PORT", False),
        Variable("API_KEY", True),
        Variable("PEERS", False),
    )


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/health", 'get "/health", HealthController, :index'),
        ("/api/healthz", 'scope "/api", ShopWeb do\n pipe_through :api\n get "/healthz", H, :index\nend'),
        ("/api/v1/health", 'scope "/api" do\nscope path: "/v1" do\n get("/health", H, :index)\nend\nend'),
        ("/health", 'scope "/api" do\n if x do\n y\n end\nend\nscope "/" do\n get "/health", H, :i\nend'),
        ("/health", 'def call(%{path_info: ["health"]} = conn, _), do: conn'),
        ("/health", 'if conn.request_path != "/health", do: conn'),
        ("/up", 'get "/up", H, :index'),
        ("/health", 'get "/up", H, :index\nget "/health", H, :index'),
        ("", '# get "/health"\nget "/healthy-food", P, :index\nsocket "/up", S\n"health"'),
    ],
)
def test_the_health_path_has_the_scopes_of_the_router_in_front(path: str, source: str) -> None:
    assert find_health_path([source]) == path


@pytest.mark.parametrize(
    ("call", "source"),
    [
        ("Shop.Release.migrate()", "defmodule Shop.Release do\n @app :shop\n def migrate do\n :ok\n end\nend"),
        ("Shop.Release.migrate()", "defmodule Shop.Release do\n def migrate() do\n :ok\n end\nend"),
        ("", "defmodule Shop.Release do\n def migrate(repo), do: repo\n defp migrate, do: 1\nend"),
        ("", "defmodule Shop.Birds do\n def migrate, do: :south\nend"),
    ],
)
def test_migrations_are_a_function_of_a_release_module_without_arguments(call: str, source: str) -> None:
    assert find_migrate([source]) == call


def test_an_app_that_looks_for_the_drain_file_drains() -> None:
    assert drains(['Path.join(System.get_env("RUNTIME_DIRECTORY", "/run"), "drain")'])
    assert not drains(['# "RUNTIME_DIRECTORY" "drain"', 'System.get_env("RUNTIME_DIRECTORY")'])


def test_the_plug_of_the_phoenix_page_is_a_drain_and_a_health_path() -> None:
    blocks = re.findall(r"```elixir\n(.*?)```", (HELLO.parents[1] / "docs" / "phoenix.md").read_text(), re.DOTALL)

    assert drains(blocks)
    assert find_health_path(blocks) == "/health"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_windows_are_read_as_any_others(tmp_path: Path, mark: str) -> None:
    app = tmp_path / "shop2"
    subprocess.run(["git", "init", "-q", app], check=True)
    mix = "defmodule Shop2.MixProject do\n  def project, do: [app: :shop2, releases: [one: [], two: []]]\n"
    texts = {"mix.exs": f'{mix}  defp deps, do: [{{:phoenix, "~> 1.7"}}]\nend\n', ".tool-versions": "erlang 27 # x\n"}
    for name, text in texts.items():
        (app / name).write_bytes(f"{mark}{text}".replace("\n", "\r\n").encode())

    read = read_app(app)

    assert (read.name, read.mix.releases, read.has("phoenix")) == ("shop2", ("one", "two"), True)
    assert read.tools == ("erlang 27",)
