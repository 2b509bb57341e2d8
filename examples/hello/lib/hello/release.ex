defmodule Hello.Release do
  @moduledoc """
  Migrations, which a deploy runs before it starts a release: `bin/hello eval 'Hello.Release.migrate()'`.

  This app has no database. Its state is one small file in the state directory. A migration is a file of
  `priv/migrations`, named NUMBER_WHAT.exs, with a function from the old state to the new one.
  """

  @doc """
  Applies, in order, each migration that has not been applied, and prints its name.

  The file is replaced as a whole after each one, so a migration is applied entirely or not at all. Raises when a
  migration does; earlier migrations stay applied. Only one caller may run it at a time.
  """
  @spec migrate() :: :ok
  def migrate do
    load()
    if Hello.Fault.active() == "migrate-fails", do: raise("migrate-fails: migrations fail, on purpose")

    case Enum.filter(migrations(), &match?({_, _, :pending}, &1)) do
      [] -> IO.puts("nothing to migrate")
      pending -> Enum.each(pending, &apply_one/1)
    end
  end

  @doc "Every migration of this release, in order, and whether it has been applied."
  @spec migrations() :: [{pos_integer(), String.t(), :applied | :pending}]
  def migrations do
    load()
    {applied, _state} = read()

    for {number, name} <- files() do
      {number, name, if(number in applied, do: :applied, else: :pending)}
    end
  end

  defp apply_one({number, name, :pending}) do
    {applied, state} = read()
    {change, _binding} = Code.eval_file(Path.join(directory(), name))
    write({applied ++ [number], change.(state)})
    IO.puts("applied #{name}")
  end

  # `eval` starts a VM in which no application is loaded, so this one does not have its configuration yet.
  defp load, do: Application.ensure_loaded(:hello)

  defp directory, do: Application.app_dir(:hello, "priv/migrations")

  defp files do
    for name <- Enum.sort(File.ls!(directory())), String.ends_with?(name, ".exs") do
      {number, "_" <> _} = Integer.parse(name)
      {number, name}
    end
  end

  defp file do
    :hello |> Application.fetch_env!(:state_directory) |> Path.join("hello.state")
  end

  # The file has the numbers of applied migrations and the state, as one Erlang term that a person can read.
  defp read do
    case :file.consult(file()) do
      {:ok, [{applied, state}]} when is_list(applied) and is_map(state) -> {applied, state}
      {:ok, _} -> raise "#{file()} holds no state of this app"
      {:error, :enoent} -> {[], %{}}
      {:error, reason} -> raise "cannot read #{file()}: #{:file.format_error(reason)}"
    end
  end

  # Writes a new file and syncs it before the rename: a power loss leaves the old file or the new one.
  defp write(book) do
    new = file() <> ".new"
    File.mkdir_p!(Path.dirname(new))

    File.open!(new, [:write, :raw], fn device ->
      :ok =
        :file.write(
          device,
          :io_lib.format(~c"%% coding: utf-8~n~tp.~n", [book]) |> :unicode.characters_to_binary()
        )

      :ok = :file.sync(device)
    end)

    File.rename!(new, file())
  end
end
