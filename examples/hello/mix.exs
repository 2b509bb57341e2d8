defmodule Hello.MixProject do
  use Mix.Project

  def project do
    [
      app: :hello,
      # The version is in a file of its own, so a new version changes one line.
      version: __DIR__ |> Path.join("VERSION") |> File.read!() |> String.trim(),
      elixir: "~> 1.14",
      elixirc_paths: elixirc_paths(Mix.env()),
      start_permanent: Mix.env() == :prod,
      deps: [],
      # Mix writes hello.app again when mix.exs is newer, but does not look at VERSION. Without this alias, an
      # incremental build of a new version would make a release in which the app still reports the old version.
      aliases: ["compile.app": "compile.app --force"],
      releases: releases()
    ]
  end

  def application do
    [
      mod: {Hello.Application, []},
      extra_applications: [:logger]
    ]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_), do: ["lib"]

  defp releases do
    [
      hello: [
        steps: [:assemble],
        include_executables_for: [:unix],
        strip_beams: true
      ]
    ]
  end
end
