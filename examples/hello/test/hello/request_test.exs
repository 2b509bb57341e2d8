defmodule Hello.RequestTest do
  use ExUnit.Case, async: true
  alias Hello.Request

  defp parse(line, headers \\ ["host: x"]),
    do: Request.parse(Enum.map_join([line | headers], &(&1 <> "\r\n")) <> "\r\n")

  test "a request that arrives byte by byte is read when its last byte is there, and not before" do
    bytes = "GET /slow?ms=1 HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n"
    for n <- 0..(byte_size(bytes) - 1), do: assert(Request.parse(binary_part(bytes, 0, n)) == :more)

    assert {:ok, %Request{method: "GET", path: "/slow", query: "ms=1"}, "next"} =
             Request.parse(bytes <> "next")
  end

  test "connections are kept by default in HTTP/1.1 and on demand in HTTP/1.0" do
    for {version, headers, keep} <- [
          {"1.1", [], true},
          {"1.1", ["connection: close"], false},
          {"1.1", ["Connection: foo, Close"], false},
          {"1.0", [], false},
          {"1.0", ["connection: Keep-Alive"], true}
        ] do
      assert {:ok, %{keep_alive: ^keep}, ""} = parse("GET / HTTP/#{version}", ["host: x" | headers])
    end
  end

  test "a body is framed by one length or by chunks" do
    assert {:ok, %{body: 0}, ""} = parse("GET / HTTP/1.1")
    assert {:ok, %{body: 12}, ""} = parse("POST / HTTP/1.1", ["host: x", "content-length: 12"])
    assert {:ok, %{body: :chunked}, ""} = parse("POST / HTTP/1.1", ["host: x", "transfer-encoding: Chunked"])
    assert {:error, 501} = parse("POST / HTTP/1.1", ["host: x", "transfer-encoding: gzip, chunked"])
  end

  test "the form of a request meant for proxies is understood" do
    assert {:ok, %{path: "/health", query: "a"}, ""} = parse("GET http://x/health?a HTTP/1.1")
    assert {:ok, %{path: "/"}, ""} = parse("GET http://x HTTP/1.1")
  end

  test "what two readers could understand differently is refused" do
    for {line, headers} <- [
          {"GET /", ["host: x"]},
          {"GET  / HTTP/1.1", ["host: x"]},
          {"GET / HTTP/1.1 ", ["host: x"]},
          {"GET health HTTP/1.1", ["host: x"]},
          {"GET /\x01 HTTP/1.1", ["host: x"]},
          {"G@T / HTTP/1.1", ["host: x"]},
          {"GET / HTTP/one", ["host: x"]},
          {"GET / HTTP/1.1", []},
          {"GET / HTTP/1.1", ["host: x", "host: x"]},
          {"GET / HTTP/1.1", ["host: x", "a : b"]},
          {"GET / HTTP/1.1", ["host: x", " continued"]},
          {"GET / HTTP/1.1", ["host: x", "no colon"]},
          {"GET / HTTP/1.1", ["host: x", "a: \0"]},
          {"GET / HTTP/1.1", ["host: x", "a: b\rc"]},
          {"POST / HTTP/1.1", ["host: x", "content-length: +1"]},
          {"POST / HTTP/1.1", ["host: x", "content-length: "]},
          {"POST / HTTP/1.1", ["host: x", "content-length: 1, 1"]},
          {"POST / HTTP/1.1", ["host: x", "content-length: 1", "content-length: 2"]},
          {"POST / HTTP/1.1", ["host: x", "content-length: 1", "transfer-encoding: chunked"]},
          {"POST / HTTP/1.0", ["host: x", "transfer-encoding: chunked"]}
        ] do
      assert {line, headers, parse(line, headers)} == {line, headers, {:error, 400}}
    end
  end

  test "what is no HTTP is refused at its first bytes" do
    assert Request.parse(<<0x16, 3, 1>>) == {:error, 400}
    assert Request.parse("GET / HTTP/1.1\n") == {:error, 400}
    assert parse("GET / HTTP/2.0") == {:error, 505}
  end

  test "lines and headers have limits, which hold before the whole has arrived" do
    long = String.duplicate("a", 20_000)
    assert Request.parse("GET /" <> long) == {:error, 414}
    assert parse("GET /#{long} HTTP/1.1") == {:error, 414}
    assert Request.parse("GET / HTTP/1.1\r\na: " <> long) == {:error, 431}
    assert parse("GET / HTTP/1.1", ["host: x", "a: " <> long]) == {:error, 431}
    assert parse("GET / HTTP/1.1", ["host: x" | List.duplicate("a: b", 100)]) == {:error, 431}
  end
end
