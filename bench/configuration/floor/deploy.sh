#!/bin/bash
# Deploys one artifact with the least work: the floor of the comparison. A person could write this who knows which files
# changed and checks nothing. One connection a host, all at once: stream the changes, sync, rename, restart, wait for
# health.
#
# Usage: deploy.sh SSH_CONFIG PORT RELEASE TARBALL [TREE OLD_MANIFEST NEW_MANIFEST] -- HOST ...
# With a tree and two manifests, only files that are in the second manifest and not in the first go over the network.
set -euo pipefail
config=$1 port=$2 release=$3 payload=$4
shift 4
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
base=no
if [[ $1 != -- ]]; then
  tree=$1
  LC_ALL=C comm -13 "$2" "$3" | cut -d ' ' -f 4- >"$scratch/changed"
  payload=$scratch/changed.tar.gz
  tar -C "$tree" -cz -T "$scratch/changed" -f "$payload"
  base=yes
  shift 3
fi
shift
script="set -e
root=/opt/floor new=\$root/releases/$release
if [ $base = yes ]; then cp -al -- \"\$root/current/.\" \"\$new\"; else mkdir -- \"\$new\"; fi
tar -xz -C \"\$new\"
sync -f -- \"\$new\"
ln -sfn -- \"releases/$release\" \"\$root/current.new\"
mv -fT -- \"\$root/current.new\" \"\$root/current\"
sudo -n systemctl restart floor
# Asking more often would slow all hosts down where many boot on few processors.
pause=0.05
for _ in \$(seq 200); do
  if curl -fs -o /dev/null http://127.0.0.1:$port/health; then exit 0; fi
  sleep \$pause
  pause=0.2
done
exit 1"
pids=()
for host; do
  ssh -F "$config" -T -- "$host" "$script" <"$payload" &
  pids+=("$!")
done
status=0
for pid in "${pids[@]}"; do wait "$pid" || status=1; done
exit "$status"
