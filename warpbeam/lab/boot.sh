#!/bin/sh
# Be one machine of a lab, until it is switched off or killed.
# Usage: boot.sh HOME LAYERS MACHINE HOSTNAME BRIDGE UUID CGROUP...
#   HOME    directory of the machine: upper, work, root, opt, opt.img
#   LAYERS  its root file systems, topmost first, with colons between
#   CGROUP  its own group in every hierarchy that systemd uses
# It must be started in a mount namespace of its own: the mounts then end with the machine, however that ends.
set -eu
home=$1 layers=$2 machine=$3 hostname=$4 bridge=$5 uuid=$6
shift 6

# A group with processes of its own cannot pass controllers on to its children (cgroups(7), "no internal
# processes"), so this shell waits in one child, and the machine runs in another.
join() {
    name=$1
    shift
    for group; do
        mkdir -p "$group/$name"
        echo 0 >"$group/$name/cgroup.procs"
    done
}

join watch "$@"
for group; do
    [ -e "$group/cgroup.controllers" ] || continue
    read -r controllers <"$group/cgroup.controllers" || continue
    for controller in $controllers; do
        echo "+$controller" >"$group/cgroup.subtree_control" || true
    done
done

mount -t overlay overlay -o "lowerdir=$layers,upperdir=$home/upper,workdir=$home/work" "$home/root"
# Beside the machine's root, not in it: in there a link in the place of opt, which the machine may have made, would be
# followed out here, as root. nspawn looks for /opt inside, where a link stays inside.
mkdir -p "$home/opt"
mount -o loop "$home/opt.img" "$home/opt"

# systemd 257 refuses the legacy hierarchy, which nspawn would pass on where this machine has it.
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
# The lab has locks of its own, and those of nspawn would stay behind when it is killed.
export SYSTEMD_NSPAWN_LOCK=0
# nspawn refuses these to a machine's root, a real Debian does not; they reach only the machine's own processes.
allowed='@memlock memfd_secret pidfd_getfd landlock_create_ruleset landlock_add_rule landlock_restrict_self'
number=0
while :; do
    number=$((number + 1))
    # With --keep-unit nspawn leaves the group that it is in as it is, and puts the machine into a child of it. That
    # child is not fit for a second boot, so each boot has a group of its own.
    if (
        join "boot$number" "$@"
        exec systemd-nspawn --quiet --register=no --keep-unit --settings=no --boot --directory="$home/root" \
            --bind="$home/opt:/opt" \
            --machine="$machine" --hostname="$hostname" --uuid="$uuid" --private-network --network-bridge="$bridge" \
            --link-journal=no --resolv-conf=off --timezone=off --console=pipe \
            --capability=CAP_IPC_LOCK --system-call-filter="$allowed"
    ); then
        exit 0
    else
        code=$?
    fi
    # 133: the machine wants to boot again (systemd-nspawn(1), --keep-unit).
    [ "$code" -eq 133 ] || exit "$code"
    # A machine's own systemd does this before it boots again, but not in a container.
    sync -f "$home/opt"
done
