defmodule Hello.Request do
  @moduledoc """
  The head of an HTTP/1 request, read strictly (RFC 9112): anything that two readers could understand differently is an
  error.
  """

  @enforce_keys [:method, :path, :query, :version]
  defstruct @enforce_keys ++ [keep_alive: true, body: 0, expects: false]

  @typedoc """
  `body` is the framing of the body: its length in bytes, or `:chunked`. With `expects`, the client waits for
  `100 Continue` before it sends the body.
  """
  @type t :: %__MODULE__{
          method: String.t(),
          path: String.t(),
          query: String.t(),
          version: :"1.0" | :"1.1",
          keep_alive: boolean(),
          body: non_neg_integer() | :chunked,
          expects: boolean()
        }

  @max_line 8_192
  @max_headers 16_384
  @max_count 100

  @doc """
  Reads a request's head from what has arrived so far.

  Returns the request and the bytes after it, `:more` when the head is not complete, or the status of the refusal.
  """
  @spec parse(binary()) :: {:ok, t(), binary()} | :more | {:error, 400 | 414 | 431 | 501 | 505}
  def parse(<<"\r\n", rest::binary>>), do: parse(rest)
  def parse(bytes) when bytes in ["", "\r"], do: :more

  def parse(bytes) do
    with {:ok, line, rest} <- take_line(bytes),
         {:ok, request} <- parse_line(line),
         {:ok, headers, rest} <- take_headers(rest),
         {:ok, request} <- apply_headers(request, headers) do
      {:ok, request, rest}
    end
  end

  # A first byte that begins no method is not HTTP (it may be TLS): refuse at once instead of waiting for a line end.
  defp take_line(<<first, _::binary>>) when first not in ?A..?Z and first not in ?a..?z, do: {:error, 400}

  defp take_line(bytes) do
    case :binary.match(bytes, "\n", scope: {0, min(byte_size(bytes), @max_line)}) do
      :nomatch when byte_size(bytes) >= @max_line -> {:error, 414}
      :nomatch -> :more
      {end_, 1} -> split_line(bytes, end_)
    end
  end

  defp split_line(bytes, end_) do
    length = end_ - 1

    case bytes do
      <<line::binary-size(length), "\r\n", rest::binary>> -> {:ok, line, rest}
      _ -> {:error, 400}
    end
  end

  defp parse_line(line) do
    with [method, target, version] <- :binary.split(line, " ", [:global]),
         true <- token?(method) and visible?(target),
         {:ok, version} <- parse_version(version),
         {:ok, path, query} <- parse_target(target) do
      {:ok,
       %__MODULE__{
         method: method,
         path: path,
         query: query,
         version: version,
         keep_alive: version == :"1.1"
       }}
    else
      {:error, status} -> {:error, status}
      _ -> {:error, 400}
    end
  end

  defp parse_version("HTTP/1.0"), do: {:ok, :"1.0"}
  defp parse_version(<<"HTTP/1.", minor>>) when minor in ?1..?9, do: {:ok, :"1.1"}

  defp parse_version(<<"HTTP/", major, ".", minor>>) when major in ?0..?9 and minor in ?0..?9,
    do: {:error, 505}

  defp parse_version(_), do: {:error, 400}

  # A server must also accept the absolute form, which is meant for proxies (RFC 9112, section 3.2.2).
  defp parse_target("http://" <> absolute) do
    case :binary.split(absolute, "/") do
      [_authority, path] -> parse_target("/" <> path)
      [_authority] -> {:ok, "/", ""}
    end
  end

  defp parse_target(<<first, _::binary>> = target) when first in [?/, ?*] do
    case :binary.split(target, "?") do
      [path, query] -> {:ok, path, query}
      [path] -> {:ok, path, ""}
    end
  end

  defp parse_target(_), do: {:error, 400}

  defp take_headers(<<"\r\n", rest::binary>>), do: {:ok, [], rest}

  defp take_headers(bytes) do
    case :binary.match(bytes, "\r\n\r\n", scope: {0, min(byte_size(bytes), @max_headers)}) do
      :nomatch when byte_size(bytes) >= @max_headers ->
        {:error, 431}

      :nomatch ->
        :more

      {length, 4} ->
        <<headers::binary-size(length), "\r\n\r\n", rest::binary>> = bytes
        parse_headers(:binary.split(headers, "\r\n", [:global]), rest)
    end
  end

  defp parse_headers(lines, _rest) when length(lines) > @max_count, do: {:error, 431}

  defp parse_headers(lines, rest) do
    headers = Enum.map(lines, &parse_header/1)
    if :error in headers, do: {:error, 400}, else: {:ok, headers, rest}
  end

  # No blank before the colon and no continued lines: both have been used to smuggle requests through proxies.
  defp parse_header(line) do
    with [name, value] <- :binary.split(line, ":"),
         true <- token?(name) and text?(value) do
      {String.downcase(name, :ascii), trim(value)}
    else
      _ -> :error
    end
  end

  defp apply_headers(request, headers) do
    values = Enum.group_by(headers, &elem(&1, 0), &elem(&1, 1))
    connection = tokens(values["connection"])

    with :ok <- check_host(request.version, values["host"]),
         {:ok, body} <- framing(request.version, values["transfer-encoding"], values["content-length"]) do
      {:ok,
       %{
         request
         | body: body,
           keep_alive:
             "close" not in connection and (request.version == :"1.1" or "keep-alive" in connection),
           expects: request.version == :"1.1" and "100-continue" in tokens(values["expect"])
       }}
    end
  end

  defp check_host(_, [_one]), do: :ok
  defp check_host(:"1.0", nil), do: :ok
  defp check_host(_, _), do: {:error, 400}

  defp framing(_, nil, nil), do: {:ok, 0}

  defp framing(:"1.1", codings, nil) when is_list(codings) do
    if tokens(codings) == ["chunked"], do: {:ok, :chunked}, else: {:error, 501}
  end

  # Twenty digits are enough for any body; an empty value is not a number.
  defp framing(_, nil, [length]) when byte_size(length) in 1..20 do
    if digits?(length), do: {:ok, String.to_integer(length)}, else: {:error, 400}
  end

  defp framing(_, _, _), do: {:error, 400}

  defp tokens(nil), do: []

  defp tokens(values) do
    for value <- values, token <- :binary.split(value, ",", [:global]), token = trim(token), token != "" do
      String.downcase(token, :ascii)
    end
  end

  defp trim(value), do: value |> String.trim_leading() |> String.trim_trailing()

  defp token?(""), do: false
  defp token?(bytes), do: all?(bytes, &token_byte?/1)

  # RFC 9110, section 5.6.2.
  defp token_byte?(byte) when byte in ?a..?z or byte in ?A..?Z or byte in ?0..?9, do: true
  defp token_byte?(byte), do: byte in ~c"!#$%&'*+-.^_`|~"

  defp visible?(""), do: false
  defp visible?(bytes), do: all?(bytes, &(&1 in 0x21..0x7E))

  defp text?(bytes), do: all?(bytes, &(&1 == ?\t or (&1 >= 0x20 and &1 != 0x7F)))

  defp digits?(bytes), do: all?(bytes, &(&1 in ?0..?9))

  defp all?(<<>>, _fun), do: true
  defp all?(<<byte, rest::binary>>, fun), do: fun.(byte) and all?(rest, fun)
end
