%% Finds the port of an Erlang node from its name alone: no host is asked, and no epmd runs.
%%
%% This module replaces OTP's module of the same name, which has one port for all nodes (-erl_epmd_port). It must have
%% that name: before the kernel starts, a release loads the modules that its boot file names, and no others
%% (-mode embedded), so a module for -epmd_module would not be loaded in time. The boot file names erl_epmd, and -pa
%% makes the VM look for it in our directory first.
%%
%% APP-a@ADDRESS listens at the first port of `-warpbeam_ports A B`, APP-b@ADDRESS at the second, on every host.
%% A node of any other name has the port of this node (-erl_epmd_port), as with OTP's module.
-module(erl_epmd).

-export([start/0, start_link/0, stop/0, names/0, names/1]).
-export([register_node/2, register_node/3, address_please/3]).
-export([port_please/2, port_please/3, listen_port_please/2]).

%% Every OTP since 23 speaks this version of the distribution protocol.
-define(PROTOCOL, 6).

%% No epmd runs, so no process keeps a connection to it.
start() -> ignore.
start_link() -> ignore.
stop() -> ok.

names() -> {error, address}.
names(_Host) -> {error, address}.

%% For -1 the kernel application makes a creation of its own.
register_node(_Name, _Port) -> {ok, -1}.
register_node(_Name, _Port, _Family) -> {ok, -1}.

address_please(_Name, Host, Family) -> inet:getaddr(Host, Family).

port_please(Name, Host) -> port_please(Name, Host, infinity).
port_please(Name, _Host, _Timeout) ->
    case port(Name) of
        none -> noport;
        Port -> {port, Port, ?PROTOCOL}
    end.

listen_port_please(Name, _Host) ->
    case port(Name) of
        none -> {ok, 0};
        Port -> {ok, Port}
    end.

port(Name) when is_atom(Name) -> port(atom_to_list(Name));
port(Name) ->
    {ok, [[A, B] | _]} = init:get_argument(warpbeam_ports),
    case lists:splitwith(fun(Character) -> Character =/= $- end, Name) of
        {_App, "-a"} -> list_to_integer(A);
        {_App, "-b"} -> list_to_integer(B);
        %% The node of a console listens at no port.
        {Kind, _} when Kind =:= "rpc"; Kind =:= "rem" -> none;
        _ -> own_port()
    end.

own_port() ->
    case init:get_argument(erl_epmd_port) of
        {ok, [[Port | _] | _]} -> list_to_integer(Port);
        _ -> none
    end.
