defmodule Hello.Router do
  @moduledoc """
  What this service answers to `GET` and `HEAD`:

    * `/` - who is answering, as one line of JSON
    * `/health` - 200 and `ok`
    * `/slow?ms=N` - the same as `/`, after N milliseconds
    * `/stream?ms=N` - a stream that lasts N milliseconds
  """

  alias Hello.{Request, Response}

  @max_ms 60_000
  @tick_ms 100

  @spec answer(Request.t()) :: Response.t()
  def answer(%Request{path: path} = request) when path in ["/", "/health", "/slow", "/stream"] do
    if request.method in ["GET", "HEAD"] do
      get(path, request)
    else
      Response.plain(405, [{"allow", "GET, HEAD"}])
    end
  end

  def answer(_request), do: Response.plain(404)

  defp get("/", _request), do: description()

  defp get("/health", _request) do
    if Hello.Fault.active() == "unhealthy",
      do: Response.plain(500),
      else: %Response{status: 200, body: "ok\n"}
  end

  defp get("/slow", request) do
    with_ms(request, fn ms ->
      Process.sleep(ms)
      description()
    end)
  end

  defp get("/stream", request) do
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

  # Elixir has a JSON module of its own only from 1.18 on.
  defp json(nil), do: "null"
  defp json(number) when is_integer(number), do: Integer.to_string(number)
  defp json(text), do: [?", for(<<char::utf8 <- text>>, do: escape(char)), ?"]

  defp escape(char) when char in [?", ?\\], do: [?\\, char]
  defp escape(char) when char < 0x20, do: ["\\u", String.pad_leading(Integer.to_string(char, 16), 4, "0")]
  defp escape(char), do: <<char::utf8>>
end
