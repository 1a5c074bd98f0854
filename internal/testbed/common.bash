# What the scripts of the bed share. Each is called with the state directory as
# its first argument; whatever a bed is lies below it, and is gone after down.
# shellcheck shell=bash disable=SC2034 # the scripts use what is set here
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # a user's PATH may lack them

say() { printf '%(%T)T bed: %s\n' -1 "$*"; }
die() {
	echo "bed: ${0##*/}: $*" >&2
	exit 1
}

# use STATE: sets the paths.
use() {
	case ${1-} in
	/run/*) die "the state must not lie below /run, which the node has one of its own of" ;;
	/*) state=${1%/} ;;
	*) die "the state directory must be an absolute path, not '${1-}'" ;;
	esac
	run=$state/run # what lives as long as the bed is up
	net=$run/ns/net mnt=$run/ns/mnt
	pki=$run/pki
	cri=/run/containerd/containerd.sock # seen from the node
	kubeconfig=$pki/admin.kubeconfig
}

node=bed-node   # the node's name in Kubernetes
link=mcp-bed    # the machine's end of the cable to the node
host_ip=10.197.0.1
node_ip=10.197.0.2
pod_cidr=10.244.0.0/24
service_cidr=10.96.0.0/16
dns_ip=10.96.0.10

# The machine's directories that the node has its own of, beside /run.
own=(/var/lib/cni /var/lib/containerd /var/lib/kubelet /var/log/containers /var/log/pods)

# on_node COMMAND...: in the node's network and mount namespaces. A process that
# joins a mount namespace stands at its root.
on_node() { nsenter --net="$net" --mount="$mnt" env -C "$PWD" "$@"; }

kc() { "$run/bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }

# A process is known by its PID and its start time: the number alone may be
# another's by now.
started() { # PID
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	read -ra stat <<<"${stat##*) }" # the name in brackets may hold anything
	[ "${stat[0]}" != Z ] && echo "${stat[19]}"
}

alive() { # NAME
	local pid at
	read -r pid at 2>/dev/null <"$run/pids/$1" && [ "$(started "$pid")" = "$at" ]
}

# start NAME COMMAND...: a server on the node, in a session of its own.
start() {
	local name=$1 pid
	shift
	! alive "$name" || return 0
	setsid nsenter --net="$net" --mount="$mnt" env -C / "$@" </dev/null >>"$run/log/$name" 2>&1 9>&- &
	pid=$!
	echo "$pid $(started "$pid")" >"$run/pids/$name"
}

# lock keeps two scripts from working on one bed at a time.
lock() {
	exec 9>"$state/lock"
	flock 9
}

# remove_node removes the namespaces, and with them the node's links, rules,
# routes and mounts, and the places that were made to mount on.
remove_node() {
	local dir
	if ip -o link show dev "$link" >/dev/null 2>&1; then ip link del "$link"; fi
	for dir in "$mnt" "$net" "$run/ns"; do
		while is_mounted "$dir"; do umount "$dir" || return 1; done
	done
	if [ -e "$run/made" ]; then
		tac "$run/made" | while read -r dir; do rmdir "$dir" 2>/dev/null || true; done
		rm -f "$run/made"
	fi
	rm -f "$run/node.done"
}

is_mounted() { awk -v d="$1" '$5 == d { found = 1 } END { exit !found }' /proc/self/mountinfo; }
