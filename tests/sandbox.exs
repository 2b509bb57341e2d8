# Things that apps do with files, ports, programs, sockets and ciphers, each a function of a directory of its own; one line
# for each, with its result. tests/hosts/provision/test_sandbox.py runs it in the sandbox of the app and outside, and
# compares.
private = :code.priv_dir(:hello) |> to_string()
mode = fn path -> with {:ok, stat} <- File.stat(path), do: {:ok, Integer.to_string(stat.mode, 8)} end
port = fn options -> fn command, arguments ->
  port = Port.open({:spawn_executable, command}, [:exit_status, :binary, :stderr_to_stdout, args: arguments] ++ options)
  Stream.repeatedly(fn -> receive do {^port, {:data, text}} -> text; {^port, {:exit_status, status}} -> status after 5_000 -> :silence end end)
  |> Enum.reduce_while([], fn each, all -> if is_binary(each), do: {:cont, [each | all]}, else: {:halt, {Enum.reverse(all) |> Enum.join(), each}} end)
end end
echo = fn listen, connect -> fn ->
  {:ok, socket} = listen.()
  {:ok, number} = :inet.port(socket)
  {:ok, client} = connect.(number)
  {:ok, server} = :gen_tcp.accept(socket, 5_000)
  :ok = :gen_tcp.send(client, "ping")
  said = :gen_tcp.recv(server, 4, 5_000)
  for each <- [client, server, socket], do: :gen_tcp.close(each)
  said
end end

tries = [
  # File
  {"File.write", fn -> File.write("file", "text") end},
  {"File.write exclusive", fn -> {File.write("once", "1", [:exclusive]), File.write("once", "2", [:exclusive])} end},
  {"File.write append", fn -> {File.write("log", "1"), File.write("log", "2", [:append]), File.read("log")} end},
  {"File.write compressed", fn -> {File.write("z", "text", [:compressed]), File.read("z") |> elem(1) |> :zlib.gunzip()} end},
  {"File.write sync delayed", fn -> File.open("d", [:write, :delayed_write, :sync], &IO.write(&1, "x")) end},
  {"File.read", fn -> File.read("file") end},
  {"File.touch", fn -> File.touch("file") end},
  {"File.touch new", fn -> File.touch("touched") end},
  {"File.touch time", fn -> {File.touch("file", 1_000_000_000), File.stat!("file", time: :posix).mtime} end},
  {"File.chmod 600", fn -> {File.chmod("file", 0o600), mode.("file")} end},
  {"File.chmod 644", fn -> {File.chmod("file", 0o644), mode.("file")} end},
  {"File.chmod 755", fn -> {File.chmod("file", 0o755), mode.("file")} end},
  {"File.chmod 2755", fn -> {File.chmod("file", 0o2755), mode.("file")} end},
  {"File.chmod 4755", fn -> {File.chmod("file", 0o4755), mode.("file")} end},
  {"File.chgrp own", fn -> File.chgrp("file", File.stat!("file").gid) end},
  {"File.chown own", fn -> File.chown("file", File.stat!("file").uid) end},
  {"File.chown root", fn -> File.chown("file", 0) end},
  {"File.chgrp root", fn -> File.chgrp("file", 0) end},
  {"File.cp", fn -> {File.cp("file", "copy"), mode.("copy")} end},
  {"File.cp from release", fn -> File.cp(Path.wildcard(private <> "/**/*.exs") |> hd(), "copied") end},
  {"File.cp_r", fn -> File.mkdir_p!("tree/one"); File.write!("tree/one/f", "x"); File.cp_r("tree", "tree2") |> elem(0) end},
  {"File.cp_r from release", fn -> File.cp_r(private, "private") |> elem(0) end},
  {"File.copy", fn -> File.copy("file", "file2") end},
  {"File.rename", fn -> File.rename("file2", "file3") end},
  {"File.ln", fn -> File.ln("file", "hard") end},
  {"File.ln_s", fn -> {File.ln_s("file", "soft"), File.read_link("soft")} end},
  {"File.mkdir", fn -> {File.mkdir("dir"), mode.("dir")} end},
  {"File.mkdir_p", fn -> File.mkdir_p("deep/er/still") end},
  {"File.ls", fn -> File.ls("deep") end},
  {"File.cd!", fn -> File.cd!("deep", fn -> Path.basename(File.cwd!()) end) end},
  {"File.rm", fn -> File.rm("file3") end},
  {"File.rmdir", fn -> File.rmdir("dir") end},
  {"File.rm_rf", fn -> File.rm_rf("deep") |> elem(0) end},
  {"File.stat", fn -> File.stat!("file").type end},
  {"File.lstat", fn -> File.lstat!("soft").type end},
  {"File.write_stat", fn -> File.write_stat("file", File.stat!("file")) end},
  {"File.stream!", fn -> Stream.into(["a\n", "b\n"], File.stream!("lines")) |> Stream.run(); Enum.count(File.stream!("lines")) end},
  {"System.tmp_dir!", fn -> File.write(Path.join(System.tmp_dir!(), "sandbox-try"), "x") end},
  # :file
  {":file.write_file_info", fn -> {:ok, info} = :file.read_file_info("file"); :file.write_file_info("file", info) end},
  {":file.change_mode", fn -> :file.change_mode("file", 0o640) end},
  {":file.change_time", fn -> :file.change_time("file", {{2020, 1, 1}, {0, 0, 0}}) end},
  {":file.change_owner", fn -> :file.change_owner("file", File.stat!("file").uid) end},
  {":file.change_group", fn -> :file.change_group("file", File.stat!("file").gid) end},
  {":file.make_link", fn -> :file.make_link("file", "hard2") end},
  {":file.make_symlink", fn -> :file.make_symlink("file", "soft2") end},
  {":file.truncate", fn -> {:ok, f} = :file.open("t", [:read, :write]); {:file.write(f, "12345"), :file.position(f, 2), :file.truncate(f)} end},
  {":file.pread", fn -> {:ok, f} = :file.open("t", [:read, :binary, :raw]); :file.pread(f, 0, 1) end},
  {":file.pwrite", fn -> {:ok, f} = :file.open("t", [:read, :write, :raw]); :file.pwrite(f, 10, "x") end},
  {":file.datasync", fn -> {:ok, f} = :file.open("t", [:write, :raw]); {:file.datasync(f), :file.sync(f)} end},
  {":file.allocate", fn -> {:ok, f} = :file.open("t", [:write]); :file.allocate(f, 0, 4096) end},
  {":file.advise", fn -> {:ok, f} = :file.open("t", [:read, :raw]); :file.advise(f, 0, 0, :sequential) end},
  {":file.sendfile", fn ->
    {:ok, l} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}]); {:ok, n} = :inet.port(l)
    {:ok, c} = :gen_tcp.connect({127, 0, 0, 1}, n, [:binary, active: false]); {:ok, s} = :gen_tcp.accept(l)
    {:file.sendfile("file", s), :gen_tcp.recv(c, 4, 5_000)} end},
  {":file.script", fn -> File.write!("s", "1 + 1.\n"); :file.script("s") end},
  {":file.consult", fn -> File.write!("c", "{a, 1}.\n"); :file.consult("c") end},
  {":file.list_dir_all", fn -> File.mkdir_p!("all/x"); :file.list_dir_all("all") end},
  {":filelib.ensure_dir", fn -> :filelib.ensure_dir("ensured/x") end},
  {":filelib.fold_files", fn -> :filelib.fold_files("tree", ".*", true, fn _, n -> n + 1 end, 0) end},
  {"File.mkdir of 2755", fn -> System.cmd("mkdir", ["-m", "2755", "shared"], stderr_to_stdout: true) |> elem(1) end},
  # archives, tables, logs
  {":zip.create", fn -> :zip.create('a.zip', ['file']) end},
  {":zip.unzip", fn -> :zip.unzip('a.zip', cwd: 'unzipped') end},
  {":erl_tar.create", fn -> :erl_tar.create('a.tar.gz', ['tree'], [:compressed]) end},
  {":erl_tar.extract", fn -> :erl_tar.extract('a.tar.gz', [:compressed, cwd: 'untarred']) end},
  {":zlib", fn -> "text" |> :zlib.gzip() |> :zlib.gunzip() end},
  {":dets", fn -> {:ok, t} = :dets.open_file(:sandbox, file: 'dets'); {:dets.insert(t, {1, 2}), :dets.lookup(t, 1), :dets.close(t)} end},
  {":ets.tab2file", fn -> t = :ets.new(:t, []); :ets.insert(t, {1}); {:ets.tab2file(t, 'tab'), :ets.file2tab('tab') |> elem(0)} end},
  {":disk_log", fn -> {:ok, l} = :disk_log.open(name: :sandbox, file: 'disk'); {:disk_log.log(l, :x), :disk_log.sync(l), :disk_log.close(l)} end},
  {":disk_log wrap", fn -> {:ok, l} = :disk_log.open(name: :wrap, file: 'wrap', type: :wrap, size: {10_000, 3}); {:disk_log.log(l, :x), :disk_log.close(l)} end},
  {":logger_std_h", fn -> {:logger.add_handler(:sandbox, :logger_std_h, %{config: %{file: 'logged'}}), :logger.remove_handler(:sandbox)} end},
  # programs
  {"System.cmd", fn -> System.cmd("echo", ["hello"]) end},
  {"System.cmd env cd", fn -> System.cmd("sh", ["-c", "echo $X; basename $(pwd)"], env: [{"X", "y"}], cd: "tree") end},
  {"System.cmd cp", fn -> System.cmd("cp", ["file", "cp1"], stderr_to_stdout: true) end},
  {"System.cmd cp -p", fn -> System.cmd("cp", ["-p", "file", "cp2"], stderr_to_stdout: true) end},
  {"System.cmd cp -r", fn -> System.cmd("cp", ["-r", "tree", "cp3"], stderr_to_stdout: true) end},
  {"System.cmd cp -r from release", fn -> System.cmd("cp", ["-r", private, "cp4"], stderr_to_stdout: true) end},
  {"System.cmd cp -a from release", fn -> System.cmd("cp", ["-a", private, "cp5"], stderr_to_stdout: true) |> elem(1) end},
  {"System.cmd cp -r a whole release", fn -> System.cmd("cp", ["-r", to_string(:code.lib_dir(:hello)), "cp6"], stderr_to_stdout: true) end},
  {"System.cmd tar", fn -> System.cmd("sh", ["-c", "tar -cf t.tar tree && mkdir x && tar -xf t.tar -C x"], stderr_to_stdout: true) end},
  {"System.cmd mv", fn -> System.cmd("mv", ["cp1", "mv1"], stderr_to_stdout: true) end},
  {"System.cmd install", fn -> System.cmd("install", ["-m", "640", "file", "installed"], stderr_to_stdout: true) end},
  {"System.cmd mktemp", fn -> System.cmd("sh", ["-c", "test -f $(mktemp) && test -d $(mktemp -d)"], stderr_to_stdout: true) end},
  {"System.cmd mkfifo", fn -> System.cmd("mkfifo", ["fifo"], stderr_to_stdout: true) end},
  {"System.cmd sort", fn -> System.cmd("sh", ["-c", "printf 'b\\na\\n' | sort"], stderr_to_stdout: true) end},
  {"System.cmd nice", fn -> System.cmd("nice", ["-n", "5", "true"], stderr_to_stdout: true) end},
  {"System.cmd taskset", fn -> System.cmd("taskset", ["-c", "0", "true"], stderr_to_stdout: true) |> elem(1) end},
  {"System.cmd ps", fn -> System.cmd("sh", ["-c", "ps -p 1 -o user="], stderr_to_stdout: true) end},
  {"System.cmd date", fn -> System.cmd("date", ["-u", "-d", "@0", "+%F"]) end},
  {"System.cmd id", fn -> System.cmd("id", ["-un"]) end},
  {"System.cmd getent", fn -> System.cmd("getent", ["hosts", "localhost"]) |> elem(1) end},
  {"System.shell", fn -> System.shell("echo $((1 + 1))") end},
  {":os.cmd", fn -> :os.cmd('echo hi') end},
  {"Port.open spawn", fn -> port.([]).("/bin/sh", ["-c", "echo out; exit 3"]) end},
  {"Port.open cd", fn -> port.([cd: "tree"]).("/bin/ls", []) end},
  {"Port.open fd limit", fn -> port.([]).("/bin/sh", ["-c", "ulimit -c"]) end},
  {"Port.close", fn -> p = Port.open({:spawn_executable, "/bin/cat"}, [:binary]); Port.close(p) end},
  {"kill own child", fn -> port.([]).("/bin/sh", ["-c", "sleep 60 & kill $!; wait $!; echo $?"]) end},
  # system
  {":os.timestamp", fn -> :os.timestamp() |> tuple_size() end},
  {":os.type", fn -> :os.type() end},
  {":os.getenv", fn -> is_list(:os.getenv()) end},
  {":os.set_signal", fn -> :os.set_signal(:sigusr2, :default) end},
  {"System.find_executable", fn -> System.find_executable("sh") != nil end},
  {"System.pid", fn -> String.to_integer(System.pid()) > 0 end},
  {"System.put_env", fn -> {System.put_env("SANDBOX", "1"), System.get_env("SANDBOX")} end},
  {"System.user_home!", fn -> File.dir?(System.user_home!()) end},
  {"System.schedulers_online", fn -> System.schedulers_online() > 0 end},
  {":erlang.memory", fn -> :erlang.memory(:total) > 0 end},
  {"/proc/self/status", fn -> match?({:ok, _}, File.read("/proc/self/status")) end},
  {"/proc/meminfo", fn -> match?({:ok, _}, File.read("/proc/meminfo")) end},
  {"/proc/loadavg", fn -> match?({:ok, _}, File.read("/proc/loadavg")) end},
  {"/proc/cpuinfo", fn -> match?({:ok, _}, File.read("/proc/cpuinfo")) end},
  {"/sys/fs/cgroup", fn -> match?({:ok, _}, File.ls("/sys/fs/cgroup")) end},
  {"/etc/hosts", fn -> match?({:ok, _}, File.read("/etc/hosts")) end},
  {"/etc/ssl/certs", fn -> File.ls("/etc") |> elem(0) end},
  {"/usr/share/zoneinfo", fn -> match?({:ok, _}, File.ls("/usr/share")) end},
  {"/home", fn -> match?({:ok, [_ | _]}, File.ls("/home")) end},
  {"/tmp of others", fn -> File.exists?("/tmp/sandbox-of-others") end},
  {"write /var/tmp", fn -> File.write("/var/tmp/sandbox-try", "x") end},
  {"write /run/shm", fn -> File.write("/dev/shm/sandbox-try", "x") end},
  {"write /run/lock", fn -> File.write("/run/lock/sandbox-try", "x") end},
  {"/dev/urandom", fn -> {:ok, f} = :file.open("/dev/urandom", [:read, :raw, :binary]); :file.read(f, 4) |> elem(0) end},
  {"/dev/null", fn -> File.write("/dev/null", "x") end},
  {"own code", fn -> File.write(to_string(:code.lib_dir(:hello)) <> "/x", "x") end},
  # network
  {":gen_tcp 127.0.0.1", echo.(fn -> :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}]) end, &:gen_tcp.connect({127, 0, 0, 1}, &1, [:binary, active: false]))},
  {":gen_tcp ::1", echo.(fn -> :gen_tcp.listen(0, [:binary, :inet6, active: false, ip: {0, 0, 0, 0, 0, 0, 0, 1}]) end, &:gen_tcp.connect({0, 0, 0, 0, 0, 0, 0, 1}, &1, [:binary, :inet6, active: false]))},
  {":gen_tcp local", fn ->
    {:ok, l} = :gen_tcp.listen(0, [:binary, active: false, ifaddr: {:local, "socket"}])
    {:ok, c} = :gen_tcp.connect({:local, "socket"}, 0, [:binary, active: false]); {:ok, s} = :gen_tcp.accept(l, 5_000)
    {:gen_tcp.send(c, "ping"), :gen_tcp.recv(s, 4, 5_000)} end},
  {":gen_tcp options", fn -> {:ok, l} = :gen_tcp.listen(0, [:binary, nodelay: true, keepalive: true, reuseaddr: true, backlog: 1024, sndbuf: 100_000, recbuf: 100_000, priority: 4]); :gen_tcp.close(l) end},
  {":gen_udp", fn -> {:ok, s} = :gen_udp.open(0, [:binary, active: false]); {:ok, n} = :inet.port(s); {:gen_udp.send(s, {127, 0, 0, 1}, n, "x"), :gen_udp.recv(s, 1, 5_000) |> elem(0)} end},
  {":gen_udp multicast", fn -> {:ok, s} = :gen_udp.open(0, [:binary, add_membership: {{239, 1, 1, 1}, {127, 0, 0, 1}}, multicast_if: {127, 0, 0, 1}]); :gen_udp.close(s) end},
  {":socket", fn -> {:ok, s} = :socket.open(:inet, :stream, :tcp); {:socket.bind(s, %{family: :inet, port: 0, addr: {127, 0, 0, 1}}), :socket.listen(s), :socket.close(s)} end},
  {":socket raw", fn -> :socket.open(:inet, :raw, :icmp) |> elem(0) end},
  {":gen_tcp port 81", fn -> case :gen_tcp.listen(81, []) do {:ok, _} -> :ok; other -> other end end},
  {":gen_tcp port 4999", fn -> case :gen_tcp.listen(4999, []) do {:ok, s} -> :gen_tcp.close(s); other -> other end end},
  {":inet.gethostname", fn -> :inet.gethostname() |> elem(0) end},
  {":inet.getifaddrs", fn -> {:ok, all} = :inet.getifaddrs(); length(all) > 1 end},
  {":inet.getaddr localhost", fn -> :inet.getaddr('localhost', :inet) end},
  {":inet.gethostbyname", fn -> :inet.gethostbyname('localhost') |> elem(0) end},
  {":inet.gethostbyaddr", fn -> :inet.gethostbyaddr({127, 0, 0, 1}) |> elem(0) end},
  {":net.if_names", fn -> :net.if_names() |> elem(0) end},
  {":net_adm.localhost", fn -> is_list(:net_adm.localhost()) end},
  # ciphers
  {":crypto.hash", fn -> :crypto.hash(:sha256, "x") |> byte_size() end},
  {":crypto.strong_rand_bytes", fn -> :crypto.strong_rand_bytes(16) |> byte_size() end},
  {":crypto.crypto_one_time_aead", fn -> :crypto.crypto_one_time_aead(:aes_256_gcm, <<0::256>>, <<0::96>>, "x", "", true) |> elem(0) |> byte_size() end},
  {":crypto.generate_key", fn -> :crypto.generate_key(:ecdh, :x25519) |> elem(0) |> byte_size() end},
  {":crypto.pbkdf2_hmac", fn -> :crypto.pbkdf2_hmac(:sha256, "x", "salt", 10, 16) |> byte_size() end},
  {":public_key.generate_key", fn -> :public_key.generate_key({:rsa, 1024, 65537}) |> elem(0) end},
  {":ssl.versions", fn -> Application.ensure_all_started(:ssl) |> elem(0) end},
  {":ssl echo", fn ->
    {:ok, _} = Application.ensure_all_started(:ssl)
    key = [digest: :sha256, key: {:namedCurve, :secp256r1}]
    chain = %{root: key, intermediates: [], peer: key}
    %{server_config: server, client_config: client} = :public_key.pkix_test_data(%{server_chain: chain, client_chain: chain})
    {:ok, l} = :ssl.listen(0, [ip: {127, 0, 0, 1}, active: false, mode: :binary] ++ server); {:ok, {_, n}} = :ssl.sockname(l)
    task = Task.async(fn -> {:ok, t} = :ssl.transport_accept(l, 5_000); {:ok, s} = :ssl.handshake(t, 5_000); :ssl.recv(s, 4, 5_000) end)
    {:ok, c} = :ssl.connect({127, 0, 0, 1}, n, [verify: :verify_none, mode: :binary] ++ Keyword.drop(client, [:verify]), 5_000); :ok = :ssl.send(c, "ping")
    Task.await(task) end},
  {":httpc", fn ->
    {:ok, _} = Application.ensure_all_started(:inets)
    {:ok, l} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}]); {:ok, n} = :inet.port(l)
    spawn(fn -> {:ok, s} = :gen_tcp.accept(l); :gen_tcp.recv(s, 0); :gen_tcp.send(s, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok") end)
    :httpc.request(:get, {'http://127.0.0.1:#{n}/', []}, [timeout: 5_000], body_format: :binary) |> elem(1) |> elem(2) end},
  {":httpc to file", fn ->
    {:ok, l} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}]); {:ok, n} = :inet.port(l)
    spawn(fn -> {:ok, s} = :gen_tcp.accept(l); :gen_tcp.recv(s, 0); :gen_tcp.send(s, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok") end)
    {:httpc.request(:get, {'http://127.0.0.1:#{n}/', []}, [timeout: 5_000], stream: 'fetched') |> elem(0), File.read("fetched")} end},
  # code
  {"Code.eval_string", fn -> Code.eval_string("1 + 1") |> elem(0) end},
  {"Code.compile_string", fn -> Code.compile_string("defmodule SandboxTry do def x, do: 1 end") |> length() end},
  {":code.load_binary", fn -> :code.purge(SandboxTry); :code.delete(SandboxTry) end},
  {":erlang.load_nif", fn -> match?({:module, _}, Code.ensure_loaded(:crypto)) end},
  {"Process.flag priority", fn -> Process.flag(:priority, :normal) end},
  {"Application.app_dir", fn -> File.dir?(Application.app_dir(:hello)) end}
]

# Of the running node's process everybody knows by its directory which release it runs.
was = File.cwd!()
:ok = File.cd("DIRECTORY")

# One that crashes says so, and the others go on.
Process.flag(:trap_exit, true)

try do
  for {name, try} <- tries do
    task = Task.async(fn -> try do try.() rescue error -> error catch kind, what -> {kind, what} end end)
    said =
      case Task.yield(task, 20_000) || Task.shutdown(task, :brutal_kill) do
        {:ok, value} -> inspect(value, limit: :infinity, printable_limit: :infinity)
        other -> "ended: #{inspect(other)}"
      end
    IO.puts("@ #{name} => " <> String.replace(said, ~r/\s+/, " "))
  end
after
  File.cd!(was)
end
:ok
