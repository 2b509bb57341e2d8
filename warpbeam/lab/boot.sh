#!/bin/sh
# Runs one machine of a lab, until the machine is switched off or killed.
# Usage: boot.sh HOME LAYERS MACHINE HOSTNAME BRIDGE UUID CGROUP...
#   HOME    directory of the machine: upper, work, root, opt, opt.img
#   LAYERS  its root file systems, topmost first, with colons between
#   CGROUP  its own control group in every hierarchy that systemd uses
# Start it in a mount namespace of its own: the mounts then end with the machine, even when the machine is killed.
set -eu
home=$1 layers=$2 machine=$3 hostname=$4 bridge=$5 uuid=$6
shift 6

# join NAME GROUP...: moves this process into the child NAME of each group. A group with processes of its own cannot
# pass controllers on to its children (cgroups(7), "no internal processes"), so this shell waits in one child, and the
# machine runs in another.
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
# Mount the disk beside the machine's root, not in it: the machine may have replaced its opt by a link, which mount
# would follow out here, as root. nspawn looks for /opt inside the root, where links cannot lead out.
mkdir -p "$home/opt"
mount -o loop "$home/opt.img" "$home/opt"

# systemd 257 refuses the legacy hierarchy, which nspawn would pass on from this machine.
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
# The lab has locks of its own. Those of nspawn would stay behind when nspawn is killed.
export SYSTEMD_NSPAWN_LOCK=0
# A real Debian allows these to root, nspawn does not. They affect only the machine's own processes.
allowed='@memlock memfd_secret pidfd_getfd landlock_create_ruleset landlock_add_rule landlock_restrict_self'
number=0
while :; do
    number=$((number + 1))
    # With --keep-unit, nspawn stays in its group and puts the machine into a child of the group. That child is not fit
    # for a second boot, so each boot has a group of its own.
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
    # systemd syncs before it reboots a real machine, but not in a container.
    sync -f "$home/opt"
done
