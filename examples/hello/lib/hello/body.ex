defmodule Hello.Body do
  @moduledoc "Reads a request's body and discards it: no route needs a body, but the next request follows it."

  @max_bytes 1_048_576
  # A chunk's size with its extensions, or one trailer field.
  @max_line 4_096

  @typedoc "Waits for more bytes of the connection: returns `{:ok, bytes}` or `{:error, reason}`."
  @type fetch :: fun()

  @doc """
  Returns the bytes after the body, or an error: the status of a refusal (400 for malformed chunks, 413 for more than
  one mebibyte), or the error that `fetch` returned.
  """
  @spec discard(non_neg_integer() | :chunked, binary(), fetch()) :: {:ok, binary()} | {:error, term()}
  def discard(length, _bytes, _fetch) when is_integer(length) and length > @max_bytes, do: {:error, 413}
  def discard(length, bytes, fetch) when is_integer(length), do: skip(length, bytes, fetch)
  def discard(:chunked, bytes, fetch), do: chunk(bytes, fetch, @max_bytes)

  @doc "Whether a body of this framing is refused before a byte of it is read."
  @spec too_large?(non_neg_integer() | :chunked) :: boolean()
  def too_large?(framing), do: is_integer(framing) and framing > @max_bytes

  defp chunk(bytes, fetch, budget) do
    with {:ok, line, rest} <- line(bytes, fetch),
         {:ok, size} <- size(line) do
      cond do
        size == 0 -> trailer(rest, fetch, budget)
        size > budget -> {:error, 413}
        true -> chunk_end(skip(size, rest, fetch), fetch, budget - size)
      end
    end
  end

  defp chunk_end({:ok, bytes}, fetch, budget) do
    case line(bytes, fetch) do
      {:ok, "", rest} -> chunk(rest, fetch, budget)
      {:ok, _, _} -> {:error, 400}
      error -> error
    end
  end

  defp chunk_end(error, _fetch, _budget), do: error

  defp trailer(bytes, fetch, budget) do
    case line(bytes, fetch) do
      {:ok, "", rest} -> {:ok, rest}
      {:ok, line, _} when byte_size(line) > budget -> {:error, 413}
      {:ok, line, rest} -> trailer(rest, fetch, budget - byte_size(line))
      error -> error
    end
  end

  defp size(line) do
    [digits | _extensions] = :binary.split(line, ";")
    digits = String.trim_trailing(digits)

    # Integer.parse/2 would accept a sign; a size of more than eight digits exceeds any budget.
    if digits =~ ~r/\A[0-9a-fA-F]{1,8}\z/, do: {:ok, String.to_integer(digits, 16)}, else: {:error, 400}
  end

  defp skip(length, bytes, _fetch) when byte_size(bytes) >= length do
    {:ok, binary_part(bytes, length, byte_size(bytes) - length)}
  end

  defp skip(length, bytes, fetch) do
    with {:ok, more} <- fetch.(), do: skip(length - byte_size(bytes), more, fetch)
  end

  defp line(bytes, fetch) do
    case :binary.split(bytes, "\r\n") do
      [line, rest] when byte_size(line) <= @max_line ->
        {:ok, line, rest}

      [bytes] when byte_size(bytes) <= @max_line ->
        with {:ok, more} <- fetch.(), do: line(bytes <> more, fetch)

      _ ->
        {:error, 400}
    end
  end
end
