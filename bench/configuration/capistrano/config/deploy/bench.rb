# The hosts. The SSH options follow capistranorb.com, "Authentication & Authorisation" and "Configuration".
ENV.fetch("BENCH_HOSTS").split(",").each { |host| server host, user: "admin", roles: %w[app] }

set :ssh_options, {
  config: ENV.fetch("BENCH_SSH_CONFIG"),
  keys: [ENV.fetch("BENCH_KEY")],
  keys_only: true,
  auth_methods: %w[publickey],
  user_known_hosts_file: ENV.fetch("BENCH_KNOWN_HOSTS"),
  verify_host_key: :always,
}
