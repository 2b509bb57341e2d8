defmodule Hello.Router do
  @moduledoc """
  The routes of this service, for `GET` and `HEAD`:

    * `/` - the instance that answers, as one line of JSON
    * `/health` - 200 and `ok`; 503 while the server drains or stops, so that a load balancer sends no connections
    * `/slow?ms=N` - the same as `/`, after N milliseconds
    * `/stream?ms=N` - a stream that lasts N milliseconds
  """

  alias Hello.{Request, Response}

  @max_ms 60_000
  @tick_ms 100

  @doc "The response to a request; `closing?` is the result of `Hello.Drain.closing?/1`."
  @spec answer(Request.t(), boolean()) :: Response.t()
  def answer(%Request{path: path} = request, closing?) when path in ["/", "/health", "/slow", "/stream"] do
    if request.method in ["GET", "HEAD"] do
      get(path, request, closing?)
    else
      Response.plain(405, [{"allow", "GET, HEAD"}])
    end
  end

  def answer(_request, _closing?), do: Response.plain(404)

  defp get("/", _request, _closing?), do: description()

  defp get("/health", _request, closing?) do
    cond do
      Hello.Fault.active() == "unhealthy" -> Response.plain(500)
      closing? -> Response.plain(503)
      true -> %Response{status: 200, body: "ok\n"}
    end
  end

  defp get("/slow", request, _closing?) do
    with_ms(request, fn ms ->
      Process.sleep(ms)
      description()
    end)
  end

  defp get("/stream", request, _closing?) do
    with_ms(request, fn ms ->
      %Response{status: 200, body: {:stream, Stream.map(ticks(ms), &tick/1)}}
    end)
  end

  defp with_ms(request, answer) do
    with ["ms=" <> text | _] <-
           Enum.filter(String.split(request.query, "&"), &String.starts_with?(&1, "ms=")),
         {ms, ""} when ms in 0..@max_ms <- Integer.parse(text) do
      answer.(ms)
    else
      _ -> %Response{status: 400, body: "expected ?ms=N with N from 0 to #{@max_ms}\n"}
    end
  end

  # How long to wait before each piece.
  defp ticks(ms), do: List.duplicate(@tick_ms, div(ms, @tick_ms)) ++ [rem(ms, @tick_ms)]

  defp tick(ms) do
    Process.sleep(ms)
    "tick\n"
  end

  defp description do
    pairs = for {key, value} <- Hello.describe(), do: [?", Atom.to_string(key), ?", ?:, json(value)]
    %Response{status: 200, type: "application/json", body: [?{, Enum.intersperse(pairs, ?,), "}\n"]}
  end

  # Elixir has a JSON module only since 1.18.
  defp json(nil), do: "null"
  defp json(number) when is_integer(number), do: Integer.to_string(number)
  defp json(text), do: [?", for(<<char::utf8 <- text>>, do: escape(char)), ?"]

  defp escape(char) when char in [?", ?\\], do: [?\\, char]
  defp escape(char) when char < 0x20, do: ["\\u", String.pad_leading(Integer.to_string(char, 16), 4, "0")]
  defp escape(char), do: <<char::utf8>>
end
