defmodule Hello.MixProject do
  use Mix.Project

  def project do
    [
      app: :hello,
      # A file of its own, so that a new version is a change of one line.
      version: __DIR__ |> Path.join("VERSION") |> File.read!() |> String.trim(),
      elixir: "~> 1.14",
      elixirc_paths: elixirc_paths(Mix.env()),
      start_permanent: Mix.env() == :prod,
      deps: [],
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
        steps: [:assemble, :tar],
        include_executables_for: [:unix],
        strip_beams: true
      ]
    ]
  end
end
