#!/bin/sh
# Install packages on top of a root file system, into a layer of its own.
# Usage: layer.sh LOWER UPPER WORK ROOT APT_CONFIG PACKAGE...  (in a mount namespace that ends with this script)
set -eu
lower=$1 upper=$2 work=$3 root=$4 APT_CONFIG=$5
shift 5
# apt runs out here, with this machine's network, proxies and certificates; only dpkg runs inside.
export APT_CONFIG

mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
# Nothing may be started by a package's installation (the interface of invoke-rc.d(8)).
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"

echo "I: fetching package lists"
apt-get update -q
echo "I: installing $# packages and what they need"
apt-get install -q -y --no-install-recommends "$@"

rm -f "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
