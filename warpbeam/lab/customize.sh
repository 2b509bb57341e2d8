#!/bin/sh
# Turn a fresh minimal Debian, at the directory $1, into a host of a lab. mmdebstrap runs it as its last hook.
set -eu
root=$1

chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash admin
printf 'admin ALL=(ALL:ALL) NOPASSWD: ALL\n' >"$root/etc/sudoers.d/admin"
chmod 0440 "$root/etc/sudoers.d/admin"

# The lab writes one host key for each host, so nothing needs to be asked or trusted on first use.
rm -f "$root"/etc/ssh/ssh_host_*
cat >"$root/etc/ssh/sshd_config.d/lab.conf" <<'CONF'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintLastLog no
UseDNS no
CONF
rm -rf "$root/etc/motd" "$root"/etc/update-motd.d/*

# sshd answers only once people may log in (/run/nologin is gone), so that an answer means "ready".
mkdir -p "$root/etc/systemd/system/ssh.service.d"
printf '[Unit]\nAfter=systemd-user-sessions.service\n' >"$root/etc/systemd/system/ssh.service.d/lab.conf"

printf 'LANG=C.UTF-8\n' >"$root/etc/default/locale"
mkdir -p "$root/var/log/journal"
: >"$root/etc/resolv.conf"
: >"$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/var/lib/dbus/machine-id"

chroot "$root" systemctl --quiet enable ssh.service systemd-networkd.service
# No console to log in at; no timers that would fetch or check things in the middle of a test.
chroot "$root" systemctl --quiet mask console-getty.service getty@.service systemd-networkd-wait-online.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
