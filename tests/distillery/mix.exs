defmodule Distillery.MixProject do
  use Mix.Project

  # A stand-in for Distillery: it makes a release with Distillery's layout, commands and variables, out of one that Mix
  # made. The start scripts in priv/ are the project's own.
  def project, do: [app: :distillery, version: "2.1.0", elixir: "~> 1.14"]

  def application, do: [extra_applications: [:eex, :sasl]]
end
