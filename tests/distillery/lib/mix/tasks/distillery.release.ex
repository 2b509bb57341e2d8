defmodule Mix.Tasks.Distillery.Release do
  @moduledoc "Makes a release as Distillery lays it out; which Distillery, DISTILLERY says: 1 for 1.5, 2 for 2.1."
  @shortdoc "Make a release"
  use Mix.Task

  # Files of a release by Mix, in releases/VERSION.
  @of_mix ~w(env.sh env.bat elixir iex vm.args remote.vm.args runtime.exs consolidated)

  @impl true
  def run(words) do
    {options, [], []} = OptionParser.parse(words, strict: [name: :string, env: :string, no_tar: :boolean])
    name = Keyword.fetch!(options, :name)
    vm_args = known!(name, Keyword.fetch!(options, :env))
    root = Path.join(["_build", to_string(Mix.env()), "rel", name])
    quiet = ["release", name, "--quiet", "--overwrite", "--path", root]
    {_, 0} = System.cmd("mix", quiet, into: IO.stream(), stderr_to_stdout: true)

    [_, version] = root |> Path.join("releases/start_erl.data") |> File.read!() |> String.split()
    here = Path.join([root, "releases", version])
    boot_files(root, here, name)
    for file <- @of_mix, do: File.rm_rf!(Path.join(here, file))
    File.rm_rf!(Path.join(root, "bin/#{name}"))
    File.rm!(Path.join(root, "releases/COOKIE"))
    for file <- Path.wildcard("#{root}/*.tar.gz"), do: File.rm!(file)
    File.write!(Path.join(here, "vm.args"), EEx.eval_file(vm_args, release_name: name) <> "-setcookie shown-to-all\n")
    # Mix writes texts as numbers, in which no start script finds a variable.
    {:ok, [settings]} = "#{here}/sys.config" |> String.to_charlist() |> :file.consult()
    File.write!("#{here}/sys.config", :io_lib.format("~p.~n", [settings]))
    scripts(root, here, name)
    Mix.shell().info("==> Release successfully built!")
  end

  # rel/config.exs, with no more of its language than this needs: the names that it defines, and the file of arguments.
  defp known!(name, env) do
    text = File.read!("rel/config.exs")
    for word <- ["release :#{name} do", "environment :#{env} do"], do: text =~ word || Mix.raise("no #{word}")
    [_, vm_args] = Regex.run(~r/set vm_args: "(.+)"/, text)
    vm_args
  end

  # Distillery's boot files name the directory of the applications by ERTS_LIB_DIR, Mix's by RELEASE_LIB.
  defp boot_files(root, here, name) do
    for {boot, target} <- [{"start", "#{here}/#{name}"}, {"start_clean", "#{root}/bin/start_clean"}] do
      text = "#{here}/#{boot}.script" |> File.read!() |> String.replace("$RELEASE_LIB", "$ERTS_LIB_DIR")
      File.write!("#{target}.script", text)
      :ok = :systools.script2boot(String.to_charlist(target))
    end
  end

  defp scripts(root, here, name) do
    number = System.get_env("DISTILLERY", "2")
    File.mkdir_p!("#{here}/libexec/commands")
    copy("entry.sh", "#{root}/bin/#{name}", name, number)
    copy("release.sh", "#{here}/#{name}.sh", name, number)
    for command <- ~w(foreground command eval rpc remote_console ping) do
      copy("#{command}.sh", "#{here}/libexec/commands/#{command}.sh", name, number)
    end
  end

  defp copy(script, target, name, number) do
    text = :distillery |> :code.priv_dir() |> Path.join(script) |> File.read!()
    File.write!(target, text |> String.replace("@NAME@", name) |> String.replace("@NUMBER@", number))
    File.chmod!(target, 0o755)
  end
end
