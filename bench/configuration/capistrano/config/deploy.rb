# Capistrano's defaults (in parallel on all hosts, five releases kept), except the settings that name this app. The
# restart after `deploy:publishing` follows capistranorb.com, "Flow" and "Restarting applications".
lock "~> 3.17"

set :application, "hello"
set :deploy_to, "/opt/capistrano"
set :tarball, ENV.fetch("BENCH_TARBALL")
set :revision, ENV.fetch("BENCH_REVISION")

namespace :deploy do
  task :restart do
    on roles(:app) do
      execute :sudo, "-n", "systemctl", "restart", "capistrano"
      execute "pause=0.05; for i in $(seq 200); do " \
              "curl -fs -o /dev/null http://127.0.0.1:#{ENV.fetch("BENCH_PORT")}/health && exit 0; " \
              "sleep $pause; pause=0.2; done; exit 1"
    end
  end
  after :publishing, :restart
end
