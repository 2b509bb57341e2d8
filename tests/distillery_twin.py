"""The sample app's Distillery twin: the same app, whose releases have Distillery's layout, commands and variables.

`tests/distillery` stands in for Distillery, with start scripts of its own. Like apps of Distillery's time, the twin
reads no config/runtime.exs: its sys.config has ${NAME} where a host's variable belongs (REPLACE_OS_VARS).
"""

from __future__ import annotations

import shutil

from tests.build_environment import change_mix_exs
from tests.environment import PROJECT, VM_ARGS, LabEnvironment

SETTINGS = """
config :hello,
  port: "${PORT}",
  drain_seconds: "${DRAIN_SECONDS}",
  drain_file: "${RUNTIME_DIRECTORY}/drain",
  state_directory: "${STATE_DIRECTORY}"
"""
NUMBERS = """
    for {name, default} <- [port: nil, drain_seconds: 10] do
      text = Application.fetch_env!(:hello, name)
      Application.put_env(:hello, name, if(text == "", do: default, else: String.to_integer(text)))
    end

    Hello.Fault.at_boot!()
"""


def make_twin(environment: LabEnvironment) -> None:
    """Make the source a twin that Distillery releases, with the files that `fab init.distillery` writes; no commit."""
    source = environment.source
    ignored = shutil.ignore_patterns("_build")
    shutil.copytree(PROJECT / "tests" / "distillery", source / "vendor" / "distillery", ignore=ignored)
    dependency = '{:distillery, "~> 2.1", path: "vendor/distillery", runtime: false}'
    change_mix_exs(environment, "deps: []", f"deps: [{dependency}]")
    # Mix's own templates have other names for what they fill in.
    change_mix_exs(environment, "strip_beams: true", 'strip_beams: true, rel_templates_path: "nowhere"')
    environment.fab("init.distillery", "--source", str(source), inventory="")
    arguments = source / "rel" / "vm.args.eex"
    arguments.write_text(arguments.read_text() + VM_ARGS)
    (source / "config" / "runtime.exs").unlink()
    for name, old, new in (
        ("config/config.exs", "import Config\n", f"import Config\n{SETTINGS}"),
        ("lib/hello/application.ex", "    Hello.Fault.at_boot!()\n", NUMBERS),
    ):
        text = (source / name).read_text()
        assert old in text
        (source / name).write_text(text.replace(old, new, 1))
