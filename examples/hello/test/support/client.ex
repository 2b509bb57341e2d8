defmodule Hello.Client do
  @moduledoc "An HTTP client for tests that shows what goes over the wire: it neither retries nor repairs anything."

  @patience 5_000

  @doc "Starts a server of the test's own, on a free port; it does not wait for connections that a test leaves open."
  def serve(options \\ []) do
    name = Module.concat(Hello.TestServer, to_string(System.unique_integer([:positive])))
    server = {Hello.Server, Keyword.merge([port: 0, name: name, linger_ms: 0], options)}
    ExUnit.Callbacks.start_supervised!(server, id: name, restart: :temporary)
    %{name: name, port: Hello.Server.port(name)}
  end

  def connect(port, address \\ {127, 0, 0, 1}) do
    family = if tuple_size(address) == 8, do: :inet6, else: :inet
    {:ok, socket} = :gen_tcp.connect(address, port, [:binary, family, active: false, show_econnreset: true])
    socket
  end

  def say(socket, bytes), do: :ok = :gen_tcp.send(socket, bytes)

  @doc "Sends a request of method and target on an open connection; returns the response."
  def ask(socket, line, headers \\ "") do
    say(socket, "#{line} HTTP/1.1\r\nhost: test\r\n#{headers}\r\n")
    [method, _] = String.split(line, " ")
    response(socket, body: method != "HEAD")
  end

  @doc "Reads one response: its status, its headers and its body (or why there was none)."
  def response(socket, options \\ []) do
    with {:ok, {:http_response, version, status, _}} <- read(socket, :http_bin) do
      headers = headers(socket, %{})
      body = if Keyword.get(options, :body, true), do: body(socket, headers), else: ""
      :ok = :inet.setopts(socket, packet: :raw)
      %{version: version, status: status, headers: headers, body: body}
    end
  end

  @doc "Whether the server closes the connection in time and without a reset."
  def ended?(socket, patience \\ @patience) do
    :ok = :inet.setopts(socket, packet: :raw)
    :gen_tcp.recv(socket, 0, patience) == {:error, :closed}
  end

  @doc "Whether the connection is still open after so many milliseconds."
  def open?(socket, ms) do
    :ok = :inet.setopts(socket, packet: :raw)
    :gen_tcp.recv(socket, 0, ms) == {:error, :timeout}
  end

  defp headers(socket, found) do
    case read(socket, :httph_bin) do
      {:ok, {:http_header, _, name, _, value}} ->
        headers(socket, Map.put(found, String.downcase(to_string(name)), value))

      {:ok, :http_eoh} ->
        found
    end
  end

  defp body(socket, %{"content-length" => length}) do
    :ok = :inet.setopts(socket, packet: :raw)

    case String.to_integer(length) do
      0 ->
        ""

      length ->
        {:ok, body} = :gen_tcp.recv(socket, length, @patience)
        body
    end
  end

  defp body(socket, %{"transfer-encoding" => "chunked"}), do: chunks(socket, "")
  defp body(socket, _), do: to_end(socket, "")

  defp chunks(socket, found) do
    {:ok, line} = read(socket, :line)
    size = line |> String.trim() |> String.to_integer(16)
    :ok = :inet.setopts(socket, packet: :raw)
    {:ok, chunk} = :gen_tcp.recv(socket, size + 2, @patience)
    if size == 0, do: found, else: chunks(socket, found <> binary_part(chunk, 0, size))
  end

  defp to_end(socket, found) do
    :ok = :inet.setopts(socket, packet: :raw)

    case :gen_tcp.recv(socket, 0, @patience) do
      {:ok, bytes} -> to_end(socket, found <> bytes)
      {:error, :closed} -> found
    end
  end

  defp read(socket, packet) do
    :ok = :inet.setopts(socket, packet: packet)
    :gen_tcp.recv(socket, 0, @patience)
  end
end
