#!/usr/bin/perl
# An app that starts at once, in place of a release's start script. With it the bench measures the deploy, and not the
# boot of as many virtual machines as there are hosts. It answers /health. To any other path it answers with the module
# that differs between two releases, as it was when the app started.
use strict;
use warnings;
use Socket;

(my $root = $0) =~ s{/bin/[^/]*$}{};
my ($module) = glob("$root/lib/hello-*/ebin/Elixir.Hello.beam") or die "no module\n";
open(my $file, '<:raw', $module) or die "$module: $!\n";
my $content = do { local $/; <$file> };
socket(my $server, PF_INET, SOCK_STREAM, getprotobyname('tcp') // 6) or die "socket: $!\n";
setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1) or die "setsockopt: $!\n";
bind($server, sockaddr_in($ENV{PORT} // 4000, INADDR_ANY)) or die "bind: $!\n";
listen($server, 128) or die "listen: $!\n";
$SIG{PIPE} = 'IGNORE';
while (1) {
    accept(my $client, $server) or next;
    my $request = '';
    while ($request !~ /\r\n\r\n/ && sysread($client, $request, 4096, length $request)) { }
    my $body = $request =~ m{^GET /health } ? "ok\n" : $content;
    syswrite($client, "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body");
    close($client);
}
