defmodule Hello.Connection do
  @moduledoc """
  One client's connection, from its first request to its end.

  Between requests the process waits for bytes, for its timeout and for `:closing` from `Hello.Drain`, all at once.
  Pipelined requests are answered one after the other.
  """

  require Logger
  alias Hello.{Body, Drain, Request, Response, Router, Server}

  # How long to wait for the client's last byte after our own: see close/1.
  @farewell_ms 1_000

  @doc "Serves a socket, once its owner says that it is `:yours`."
  @spec serve(:gen_tcp.socket(), Server.t()) :: :ok
  def serve(socket, server) do
    receive do
      :yours -> next(socket, server, "")
    after
      5_000 -> :ok
    end
  end

  defp next(socket, server, buffer) do
    now = now()

    case head(socket, server, buffer, %{idle_since: now, deadline: now + server.head_ms}) do
      {:ok, request, rest} -> respond(socket, server, request, rest)
      {:error, status} when is_integer(status) -> refuse(socket, status)
      {:error, _gone} -> close(socket)
    end
  end

  defp head(socket, server, buffer, waiting) do
    case Request.parse(buffer) do
      :more -> more_head(socket, server, buffer, waiting)
      done -> done
    end
  end

  defp more_head(socket, server, "", waiting) do
    with {:ok, bytes} <- await_request(socket, server, waiting.idle_since) do
      head(socket, server, bytes, %{waiting | deadline: now() + server.head_ms})
    end
  end

  defp more_head(socket, server, buffer, waiting) do
    case fetch(socket, waiting.deadline) do
      {:ok, bytes} -> head(socket, server, buffer <> bytes, waiting)
      {:error, :timeout} -> {:error, 408}
      error -> error
    end
  end

  defp await_request(socket, server, idle_since) do
    patience = if Drain.closing?(server.flags), do: server.linger_ms, else: server.idle_ms

    case fetch(socket, idle_since + patience, :wake) do
      :closing -> await_request(socket, server, idle_since)
      other -> other
    end
  end

  defp respond(socket, server, request, buffer) do
    case discard_body(socket, server, request, buffer) do
      {:ok, rest} ->
        response = answer(request, server)
        # Checked only now: making the response may have taken long.
        keep = request.keep_alive and not Drain.closing?(server.flags)
        framing = Response.framing(response, request.version)
        keep = keep and framing != :close

        with :ok <- :gen_tcp.send(socket, first(request, response, framing, keep)),
             :ok <- stream(socket, request, response, framing) do
          if keep, do: next(socket, server, rest), else: close(socket)
        else
          {:error, _gone} -> :gen_tcp.close(socket)
        end

      {:error, :timeout} ->
        refuse(socket, 408)

      {:error, status} when is_integer(status) ->
        refuse(socket, status)

      {:error, _gone} ->
        :gen_tcp.close(socket)
    end
  end

  defp discard_body(_socket, _server, %Request{body: 0}, buffer), do: {:ok, buffer}

  defp discard_body(socket, server, request, buffer) do
    deadline = now() + server.body_ms

    if request.expects and buffer == "" and not Body.too_large?(request.body) do
      _ = :gen_tcp.send(socket, "HTTP/1.1 100 Continue\r\n\r\n")
    end

    Body.discard(request.body, buffer, fn -> fetch(socket, deadline) end)
  end

  defp answer(request, server) do
    Router.answer(request, Drain.closing?(server.flags))
  rescue
    error ->
      Logger.error(Exception.format(:error, error, __STACKTRACE__))
      Response.plain(500)
  end

  defp first(request, response, framing, keep) do
    connection =
      case {keep, request.version} do
        {false, _} -> "close"
        {true, :"1.0"} -> "keep-alive"
        {true, :"1.1"} -> nil
      end

    head = Response.head(response, framing, connection)
    if request.method == "HEAD" or match?({:stream, _}, response.body), do: head, else: [head, response.body]
  end

  defp stream(socket, %{method: method}, %{body: {:stream, pieces}}, framing) when method != "HEAD" do
    sent =
      Enum.reduce_while(pieces, :ok, fn piece, :ok ->
        case :gen_tcp.send(socket, Response.piece(piece, framing)) do
          :ok -> {:cont, :ok}
          error -> {:halt, error}
        end
      end)

    with :ok <- sent, do: :gen_tcp.send(socket, Response.last_piece(framing))
  end

  defp stream(_socket, _request, _response, _framing), do: :ok

  defp refuse(socket, status) do
    _ = :gen_tcp.send(socket, Response.refusal(status))
    close(socket)
  end

  # Closing a socket with unread bytes in its buffer resets the connection, and the client may lose the response (RFC
  # 9112, section 9.6). So close only the sending side, then read until the client closes too.
  defp close(socket) do
    _ = :gen_tcp.shutdown(socket, :write)
    farewell(socket, now() + @farewell_ms)
  end

  defp farewell(socket, deadline) do
    case fetch(socket, deadline) do
      {:ok, _ignored} -> farewell(socket, deadline)
      {:error, _} -> :gen_tcp.close(socket)
    end
  end

  # Receives bytes once. `:closing` ends the wait only where the caller asks for that; else it stays in the mailbox.
  defp fetch(socket, deadline, wake \\ :sleep) do
    with :ok <- :inet.setopts(socket, active: :once) do
      receive do
        {:tcp, ^socket, bytes} -> {:ok, bytes}
        {:tcp_closed, ^socket} -> {:error, :closed}
        {:tcp_error, ^socket, reason} -> {:error, reason}
        :closing when wake == :wake -> :closing
      after
        max(0, deadline - now()) -> {:error, :timeout}
      end
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
