defmodule Hello.DrainTest do
  use ExUnit.Case, async: true
  alias Hello.Client
  import Hello.Client, only: [serve: 0, serve: 1]

  describe "draining" do
    @describetag :tmp_dir

    # Long enough for the server to look for the drain file.
    @looked 250

    defp drain(tmp_dir, options \\ []) do
      file = Path.join(tmp_dir, "drain")
      {serve(Keyword.merge([drain_file: file, linger_ms: 600], options)), file}
    end

    test "ends each connection after its next response", %{tmp_dir: tmp_dir} do
      {server, file} = drain(tmp_dir)
      socket = Client.connect(server.port)
      refute Client.ask(socket, "GET /").headers["connection"]

      File.touch!(file)
      Process.sleep(@looked)
      assert %{status: 200, headers: %{"connection" => "close"}} = Client.ask(socket, "GET /")
      assert Client.ended?(socket)

      assert %{status: 200, headers: %{"connection" => "close"}} =
               Client.ask(Client.connect(server.port), "GET /")
    end

    test "reaches a response that was being made when it began", %{tmp_dir: tmp_dir} do
      {server, file} = drain(tmp_dir)
      socket = Client.connect(server.port)
      asked = Task.async(fn -> Client.ask(socket, "GET /slow?ms=400") end)
      Process.sleep(50)
      File.touch!(file)
      assert %{status: 200, headers: %{"connection" => "close"}} = Task.await(asked)
    end

    test "closes a connection only when it has been idle for a while", %{tmp_dir: tmp_dir} do
      {server, file} = drain(tmp_dir)
      fresh = Client.connect(server.port)
      assert %{status: 200} = Client.ask(fresh, "GET /")
      File.touch!(file)
      assert Client.open?(fresh, @looked)
      assert Client.ended?(fresh, 1_000)
    end

    test "is what the health path tells a load balancer, and nothing else fails", %{tmp_dir: tmp_dir} do
      {server, file} = drain(tmp_dir)
      ask = fn path -> Client.ask(Client.connect(server.port), "GET #{path}").status end
      assert ask.("/health") == 200

      File.touch!(file)
      Process.sleep(@looked)
      assert {ask.("/health"), ask.("/")} == {503, 200}

      File.rm!(file)
      Process.sleep(@looked)
      assert ask.("/health") == 200
    end

    test "ends when the file goes away", %{tmp_dir: tmp_dir} do
      {server, file} = drain(tmp_dir)
      File.touch!(file)
      Process.sleep(@looked)
      File.rm!(file)
      Process.sleep(@looked)
      socket = Client.connect(server.port)
      refute Client.ask(socket, "GET /").headers["connection"]
      assert Client.open?(socket, 800)
    end

    test "is known from the first request on when the file is there already", %{tmp_dir: tmp_dir} do
      File.touch!(Path.join(tmp_dir, "drain"))
      {server, _file} = drain(tmp_dir)
      assert %{headers: %{"connection" => "close"}} = Client.ask(Client.connect(server.port), "GET /")
    end

    test "loses no request of busy clients", %{tmp_dir: tmp_dir} do
      {server, file} = drain(tmp_dir)

      # Each client sends requests on one connection until a response says close, and checks that all were answered.
      clients =
        for _ <- 1..20 do
          Task.async(fn -> ask_until_close(Client.connect(server.port), 0) end)
        end

      Process.sleep(200)
      File.touch!(file)
      assert Enum.all?(Task.await_many(clients), &(&1 > 1))
    end

    defp ask_until_close(socket, asked) do
      case Client.ask(socket, "GET /") do
        %{status: 200, headers: %{"connection" => "close"}} -> asked + 1
        %{status: 200} -> ask_until_close(socket, asked + 1)
      end
    end
  end

  describe "a stop" do
    # A busy machine may take its time to close the listener.
    defp refused?(port, tries) do
      case :gen_tcp.connect({127, 0, 0, 1}, port, []) do
        {:error, :econnrefused} ->
          true

        {:ok, socket} when tries > 0 ->
          :gen_tcp.close(socket)
          Process.sleep(50)
          refused?(port, tries - 1)

        {:ok, _} ->
          false
      end
    end

    defp stop(server), do: Task.async(fn -> Supervisor.stop(server.name) end)

    test "lets a running request finish, and nothing new begin" do
      server = serve()
      socket = Client.connect(server.port)
      asked = Task.async(fn -> Client.ask(socket, "GET /slow?ms=2000") end)
      Process.sleep(50)
      stopped = stop(server)
      assert refused?(server.port, 20)
      assert Task.yield(asked, 0) == nil
      assert %{status: 200, headers: %{"connection" => "close"}} = Task.await(asked)
      :gen_tcp.close(socket)
      assert :ok = Task.await(stopped)
    end

    test "lets a running stream finish" do
      server = serve()
      socket = Client.connect(server.port)
      asked = Task.async(fn -> Client.ask(socket, "GET /stream?ms=500") end)
      Process.sleep(50)
      stopped = stop(server)
      assert %{status: 200, body: body} = Task.await(asked)
      assert length(String.split(body)) == 6
      :gen_tcp.close(socket)
      assert :ok = Task.await(stopped)
    end

    test "serves the clients that the kernel has accepted already" do
      server = serve(linger_ms: 300)
      parent = self()

      clients =
        for _ <- 1..50 do
          Task.async(fn ->
            socket = Client.connect(server.port)
            send(parent, :connected)
            Client.ask(socket, "GET /")
          end)
        end

      for _ <- clients, do: assert_receive(:connected)
      Supervisor.stop(server.name)
      for response <- Task.await_many(clients), do: assert(%{status: 200} = response)
    end

    @tag :capture_log
    test "cuts what has not finished in time" do
      server = serve(stop_ms: 200)
      socket = Client.connect(server.port)
      Client.say(socket, "GET /slow?ms=30000 HTTP/1.1\r\nhost: x\r\n\r\n")
      Process.sleep(50)
      {us, :ok} = :timer.tc(fn -> Supervisor.stop(server.name) end)
      assert us < 1_500_000
      assert Client.ended?(socket)
    end
  end
end
