defmodule Hello.Response do
  @moduledoc "A response of HTTP/1, and its bytes (RFC 9112)."

  @enforce_keys [:status]
  defstruct @enforce_keys ++ [type: "text/plain; charset=utf-8", headers: [], body: ""]

  @typedoc "`body` is bytes, sent with their length, or a stream of pieces, each sent as soon as it exists."
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

  @doc "A response whose body is the reason phrase of its status."
  @spec plain(200..599, [{String.t(), String.t()}]) :: t()
  def plain(status, headers \\ []) do
    %__MODULE__{status: status, headers: headers, body: [Map.fetch!(@reasons, status), ?\n]}
  end

  @doc "A whole response, as bytes, to a request that cannot be read; it ends the connection."
  @spec refusal(400..599) :: iodata()
  def refusal(status) do
    response = plain(status)
    [head(response, framing(response, :"1.1"), "close"), response.body]
  end

  @doc "The framing of the body: its length in bytes; for a stream `:chunked`, or `:close` with HTTP/1.0."
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

  @doc "A piece of a stream in its framing. An empty piece gives no bytes: they would end a chunked stream."
  @spec piece(iodata(), :chunked | :close) :: iodata()
  def piece(bytes, :close), do: bytes

  def piece(bytes, :chunked) do
    case IO.iodata_length(bytes) do
      0 -> []
      size -> [Integer.to_string(size, 16), "\r\n", bytes, "\r\n"]
    end
  end

  @doc "The bytes that end a stream."
  @spec last_piece(:chunked | :close) :: iodata()
  def last_piece(:chunked), do: "0\r\n\r\n"
  def last_piece(:close), do: []

  defp length_header(:chunked), do: "\r\ntransfer-encoding: chunked"
  defp length_header(:close), do: []
  defp length_header(length), do: ["\r\ncontent-length: ", Integer.to_string(length)]
end
