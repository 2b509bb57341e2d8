defmodule Hello.ServerTest do
  use ExUnit.Case, async: true
  alias Hello.Client
  import Hello.Client, only: [serve: 0, serve: 1]

  defp connect(options \\ []), do: Client.connect(serve(options).port)

  describe "a connection" do
    test "is kept, and says nothing about it" do
      socket = connect()

      for _ <- 1..3 do
        response = Client.ask(socket, "GET /")
        assert response.status == 200
        assert response.headers["content-length"] == to_string(byte_size(response.body))
        assert response.headers["date"] =~ ~r/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/
        refute response.headers["connection"]
      end

      assert Client.open?(socket, 50)
    end

    test "is closed when the client wants it closed, and the response says so" do
      socket = connect()

      assert %{status: 200, headers: %{"connection" => "close"}} =
               Client.ask(socket, "GET /", "connection: close\r\n")

      assert Client.ended?(socket)
    end

    test "of an HTTP/1.0 client is closed, unless that asks otherwise" do
      server = serve()
      socket = Client.connect(server.port)
      Client.say(socket, "GET /health HTTP/1.0\r\n\r\n")
      assert %{status: 200, headers: %{"connection" => "close"}, body: "ok\n"} = Client.response(socket)
      assert Client.ended?(socket)

      socket = Client.connect(server.port)
      Client.say(socket, "GET /health HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
      assert %{status: 200, headers: %{"connection" => "keep-alive"}} = Client.response(socket)
      assert %{status: 200} = Client.ask(socket, "GET /health")
    end

    test "answers requests that came together one after the other" do
      socket = connect()
      one = fn target -> "GET #{target} HTTP/1.1\r\nhost: x\r\n\r\n" end
      Client.say(socket, one.("/slow?ms=100") <> "\r\n" <> one.("/health") <> one.("/nowhere"))
      assert [200, 200, 404] = for(_ <- 1..3, do: Client.response(socket).status)
    end

    test "is closed when it is idle for too long" do
      socket = connect(idle_ms: 100)
      assert %{status: 200} = Client.ask(socket, "GET /")
      assert Client.ended?(socket, 500)
    end

    test "of a client that does not finish its request is told so" do
      socket = connect(head_ms: 100)
      Client.say(socket, "GET / HTTP/1.1\r\nho")
      assert %{status: 408, headers: %{"connection" => "close"}} = Client.response(socket)
      assert Client.ended?(socket)
    end

    test "beyond the most that there may be is answered 503" do
      server = serve(max_connections: 1)
      first = Client.connect(server.port)
      assert %{status: 200} = Client.ask(first, "GET /")
      assert %{status: 503} = Client.response(Client.connect(server.port))
      assert %{status: 200} = Client.ask(first, "GET /")
    end

    test "does not end when a client that has left is to be answered" do
      server = serve()
      socket = Client.connect(server.port)
      Client.say(socket, "GET /slow?ms=100 HTTP/1.1\r\nhost: x\r\n\r\n")
      :gen_tcp.close(socket)
      Process.sleep(200)
      assert %{status: 200} = Client.ask(Client.connect(server.port), "GET /")
    end
  end

  describe "addresses:" do
    test "IPv4 and IPv6 of the loopback are heard" do
      server = serve()
      assert %{status: 200} = Client.ask(Client.connect(server.port, {127, 0, 0, 1}), "GET /health")
      assert %{status: 200} = Client.ask(Client.connect(server.port, {0, 0, 0, 0, 0, 0, 0, 1}), "GET /health")
    end

    test "each other address of this machine is heard too" do
      server = serve()
      {:ok, interfaces} = :inet.getifaddrs()

      # Link-local addresses need a scope, and would prove nothing more.
      for {_, properties} <- interfaces,
          {:addr, address} <- properties,
          elem(address, 0) not in [0xFE80, 169] do
        assert {^address, %{status: 200}} =
                 {address, Client.ask(Client.connect(server.port, address), "GET /health")}
      end
    end

    test "a port that is taken is an error that names it" do
      {:ok, taken} = :gen_tcp.listen(0, [:inet6])
      {:ok, port} = :inet.port(taken)
      Process.flag(:trap_exit, true)
      assert {:error, reason} = Hello.Server.start_link(port: port, name: __MODULE__.Taken)
      assert inspect(reason) =~ "cannot listen on port #{port}: address already in use"
    end
  end

  describe "routes:" do
    test "/ says in one line of JSON who answers" do
      %{headers: headers, body: body} = Client.ask(connect(), "GET /")
      assert headers["content-type"] == "application/json"

      assert body ==
               ~s({"app":"hello","version":"#{Hello.version()}","release":null,"slot":null,) <>
                 ~s("node":"nonode@nohost","pid":#{System.pid()}}\n)
    end

    test "HEAD is GET without the body" do
      socket = connect()
      get = Client.ask(socket, "GET /")
      head = Client.ask(socket, "HEAD /")
      assert Map.delete(head.headers, "date") == Map.delete(get.headers, "date")
      assert head.body == ""
      assert %{status: 200, body: "ok\n"} = Client.ask(socket, "GET /health")
    end

    test "there is nothing elsewhere, and no other method" do
      socket = connect()
      assert %{status: 404} = Client.ask(socket, "GET /env/PATH")
      assert %{status: 405, headers: %{"allow" => "GET, HEAD"}} = Client.ask(socket, "DELETE /")
      assert %{status: 200} = Client.ask(socket, "GET /")
    end

    test "/slow takes its time, within a limit" do
      socket = connect()
      {us, %{status: 200}} = :timer.tc(fn -> Client.ask(socket, "GET /slow?ms=150") end)
      assert us >= 150_000

      for query <- ["", "?ms=", "?ms=-1", "?ms=60001", "?ms=1.5"],
          do: assert(%{status: 400} = Client.ask(socket, "GET /slow" <> query))
    end

    test "/stream comes in chunks over its time, or ends with the connection for HTTP/1.0" do
      server = serve()
      socket = Client.connect(server.port)
      {us, response} = :timer.tc(fn -> Client.ask(socket, "GET /stream?ms=250") end)
      assert us >= 250_000

      assert %{status: 200, headers: %{"transfer-encoding" => "chunked"}, body: "tick\ntick\ntick\n"} =
               response

      assert %{status: 200} = Client.ask(socket, "GET /health")

      Client.say(socket, "GET /stream?ms=10 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
      assert %{status: 200, headers: %{"connection" => "close"}, body: "tick\n"} = Client.response(socket)
    end
  end

  describe "a request's body" do
    # Sends a whole request with a body, which ask/3 cannot make.
    defp post(socket, headers, body) do
      Client.say(socket, "POST / HTTP/1.1\r\nhost: test\r\n#{headers}\r\n#{body}")
      Client.response(socket)
    end

    test "is read and thrown away, by length or in chunks, and the next request follows" do
      socket = connect()
      big = String.duplicate("x", 200_000)
      assert %{status: 405} = post(socket, "content-length: 5\r\n", "hello")
      assert %{status: 405} = post(socket, "content-length: 200000\r\n", big)
      assert %{status: 405} = post(socket, "transfer-encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n")
      chunks = "30D40\r\n#{big}\r\n1\r\n \r\n0\r\ntrailer: x\r\n\r\n"
      assert %{status: 405} = post(socket, "transfer-encoding: chunked\r\n", chunks)
      assert %{status: 200} = Client.ask(socket, "GET /health")
    end

    test "is asked for when the client waits to be asked" do
      socket = connect()
      Client.say(socket, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
      assert {:ok, "HTTP/1.1 100 Continue\r\n\r\n"} = :gen_tcp.recv(socket, 0, 1_000)
      Client.say(socket, "hello")
      assert %{status: 405} = Client.response(socket)
      assert %{status: 200} = Client.ask(socket, "GET /health")
    end

    test "that is too large is refused, and the client sees the refusal though it has not finished sending" do
      server = serve()

      for headers <- ["content-length: 3000000\r\n", "transfer-encoding: chunked\r\n"] do
        socket = Client.connect(server.port)
        body = if headers =~ "chunked", do: "2DC6C0\r\n", else: ""
        Client.say(socket, "POST / HTTP/1.1\r\nhost: x\r\n#{headers}\r\n#{body}")
        Client.say(socket, String.duplicate("x", 500_000))
        assert %{status: 413, headers: %{"connection" => "close"}} = Client.response(socket)
        assert Client.ended?(socket)
      end
    end

    test "whose chunks make no sense is refused" do
      for body <- ["x\r\n", "-1\r\n", "1\r\nab\r\n", "fffffffff\r\n"] do
        assert {^body, %{status: 400}} = {body, post(connect(), "transfer-encoding: chunked\r\n", body)}
      end
    end

    test "that does not come in time is given up" do
      socket = connect(body_ms: 100)
      assert %{status: 408} = post(socket, "content-length: 5\r\n", "h")
      assert Client.ended?(socket)
    end
  end

  test "a bad request is refused and the connection closed, whatever else is on it" do
    for {bytes, status} <- [
          {"nonsense\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", 400},
          {"GET /#{String.duplicate("a", 9_000)} HTTP/1.1\r\n\r\n", 414},
          {"GET / HTTP/1.1\r\nhost: x\r\na: #{String.duplicate("a", 40_000)}\r\n\r\n", 431},
          {"GET / HTTP/3.0\r\n\r\n", 505}
        ] do
      socket = connect()
      Client.say(socket, bytes)
      assert %{status: ^status, headers: %{"connection" => "close"}} = Client.response(socket)
      assert Client.ended?(socket)
    end
  end
end
