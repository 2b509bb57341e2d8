# What is fixed when the app is built.
import Config

# The journal has the time already.
line = "[$level] $message\n"

if Version.match?(System.version(), ">= 1.15.0") do
  config :logger, :default_formatter, format: line
else
  config :logger, :console, format: line
end

# A build can be made bad on purpose, for drills: see Hello.Fault.
fault = Path.join(__DIR__, "fault")

if File.exists?(fault) do
  config :hello, fault: fault |> File.read!() |> String.trim()
end

if config_env() == :test do
  # Any free port: the tests start servers of their own beside this one.
  config :hello, port: 0
  config :logger, level: :warning
end
