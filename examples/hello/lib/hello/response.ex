defmodule Hello.Response do
  @moduledoc "What goes back over a connection, as bytes (RFC 9112)."

  @enforce_keys [:status]
  defstruct @enforce_keys ++ [type: "text/plain; charset=utf-8", headers: [], body: ""]

  @typedoc "`body` is bytes, whose length is told beforehand, or a stream of pieces, sent as they come."
  @type t :: %__MODULE__{
          status: 200..599,
          type: String.t(),
          headers: [{String.t(), String.t()}],
          body: iodata() | {:stream, Enumerable.t()}
        }

  @reasons %{
    200 => "OK",
    400 => "Bad Request",
    404 => "Not Found",
    405 => "Method Not Allowed",
    408 => "Request Timeout",
    413 => "Content Too Large",
    414 => "URI Too Long",
    431 => "Request Header Fields Too Large",
    500 => "Internal Server Error",
    501 => "Not Implemented",
    503 => "Service Unavailable",
    505 => "HTTP Version Not Supported"
  }

  @doc "A response whose body is its own reason."
  @spec plain(200..599, [{String.t(), String.t()}]) :: t()
  def plain(status, headers \\ []) do
    %__MODULE__{status: status, headers: headers, body: [Map.fetch!(@reasons, status), ?\n]}
  end

  @doc "The whole of a response that ends its connection, for requests that could not be read."
  @spec refusal(400..599) :: iodata()
  def refusal(status) do
    response = plain(status)
    [head(response, framing(response, :"1.1"), "close"), response.body]
  end

  @doc "How the end of the body is told: `:chunked`, its length in bytes, or `:close`, which is all that HTTP/1.0 has for a stream."
  @spec framing(t(), :"1.0" | :"1.1") :: :chunked | :close | non_neg_integer()
  def framing(%{body: {:stream, _}}, :"1.1"), do: :chunked
  def framing(%{body: {:stream, _}}, :"1.0"), do: :close
  def framing(%{body: body}, _), do: IO.iodata_length(body)

  @doc "The status line and the headers; `connection` is the value of that header, or nil for none."
  @spec head(t(), :chunked | :close | non_neg_integer(), String.t() | nil) :: iodata()
  def head(response, framing, connection) do
    [
      ["HTTP/1.1 ", Integer.to_string(response.status), " ", Map.fetch!(@reasons, response.status)],
      ["\r\ndate: ", Calendar.strftime(DateTime.utc_now(), "%a, %d %b %Y %H:%M:%S GMT")],
      ["\r\ncontent-type: ", response.type],
      length_header(framing),
      if(connection, do: ["\r\nconnection: ", connection], else: []),
      for({name, value} <- response.headers, do: ["\r\n", name, ": ", value]),
      "\r\n\r\n"
    ]
  end

  @doc "A piece of a stream in its framing; an empty one, which would end a chunked stream, is nothing."
  @spec piece(iodata(), :chunked | :close) :: iodata()
  def piece(bytes, :close), do: bytes

  def piece(bytes, :chunked) do
    case IO.iodata_length(bytes) do
      0 -> []
      size -> [Integer.to_string(size, 16), "\r\n", bytes, "\r\n"]
    end
  end

  @doc "What ends a stream."
  @spec last_piece(:chunked | :close) :: iodata()
  def last_piece(:chunked), do: "0\r\n\r\n"
  def last_piece(:close), do: []

  defp length_header(:chunked), do: "\r\ntransfer-encoding: chunked"
  defp length_header(:close), do: []
  defp length_header(length), do: ["\r\ncontent-length: ", Integer.to_string(length)]
end
