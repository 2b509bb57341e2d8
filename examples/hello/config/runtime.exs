# Settings that are known only where the app runs. Apart from this file, only Hello.describe/0 reads the environment.
import Config

number = fn name, default, range, expected ->
  text = System.get_env(name, default)

  case Integer.parse(text) do
    {number, ""} -> if number in range, do: number
    _ -> nil
  end || raise "#{name} is #{inspect(text)}; expected #{expected}"
end

if config_env() != :test do
  config :hello,
    port: number.("PORT", "4000", 1..65_535, "a port number from 1 to 65535"),
    drain_seconds: number.("DRAIN_SECONDS", "10", 0..3600, "whole seconds from 0 to 3600")

  if System.get_env("MORE_PORT") do
    config :hello, more_port: number.("MORE_PORT", "", 1..65_535, "a port number from 1 to 65535")
  end

  # A worker serves nothing.
  if System.get_env("SERVER") == "off", do: config(:hello, server: false)

  # Listen on one address of this host instead of all.
  if listen = System.get_env("LISTEN") do
    case :inet.parse_strict_address(String.to_charlist(listen)) do
      {:ok, address} -> config :hello, listen: address
      _ -> raise "LISTEN is #{inspect(listen)}; expected an address such as 127.0.0.1 or ::1"
    end
  end

  config :hello, peers: "PEERS" |> System.get_env("") |> String.split()

  # systemd sets both from RuntimeDirectory= and StateDirectory= (systemd.exec(5)).
  if directory = System.get_env("RUNTIME_DIRECTORY") do
    config :hello, drain_file: Path.join(directory, "drain")
  end

  config :hello,
    state_directory:
      System.get_env("STATE_DIRECTORY") ||
        if(config_env() == :prod, do: "/var/lib/hello", else: "_build/state")
end

# An empty value means no fault, even where the build has one.
if fault = System.get_env("HELLO_FAULT") do
  config :hello, fault: fault
end
