# Settings that are fixed when the app is built.
import Config

# No time in a line: the journal adds it.
line = "[$level] $message\n"

if Version.match?(System.version(), ">= 1.15.0") do
  config :logger, :default_formatter, format: line
else
  config :logger, :console, format: line
end

# A build can be made faulty on purpose, for drills: see Hello.Fault.
fault = Path.join(__DIR__, "fault")

if File.exists?(fault) do
  config :hello, fault: fault |> File.read!() |> String.trim()
end

if config_env() == :test do
  # Any free port: tests start servers of their own next to this one.
  config :hello, port: 0
  config :logger, level: :warning
end
