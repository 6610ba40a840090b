# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What the scripts of this folder share: where things are, which version packages
# have, and how a command runs in a Debian 13 root. To be sourced.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly top
readonly cache=${FOLIO_RUNS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/folio-runs}
# shellcheck disable=SC2034	# for those who source this
readonly store=$cache/packages

say()
{
	echo "$(basename "$0"): $*" >&2
}

die()
{
	say "$@"
	exit 1
}

# One number that grows with every commit (to these paths), and the date that goes with it: two
# builds of one commit have the same version, and a later one is newer.
revision()
{
	git -C "$top" rev-list --count --full-history HEAD -- "$@"
}

commit_date()
{
	git -C "$top" log -1 --full-history --format=%ct -- "$@"
}

# in_root ROOT [--bind HERE:THERE]... COMMAND...: run it in the root as it was made. What it
# writes is gone afterwards, but for what is bound; so are the mounts.
in_root()
{
	local root=$1
	shift
	# unshare does not heed a signal itself, and takes what it started along when it is killed:
	# which happens when this script ends, in whatever way.
	# shellcheck disable=SC2016	# for the shell inside
	setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child bash -euc '
		root=$1 at=$1/run/folio-runs
		shift
		mount -t tmpfs tmpfs "$root/run"
		mkdir -p "$at"/{root,upper,work}
		mount -t overlay overlay -o "lowerdir=$root,upperdir=$at/upper,workdir=$at/work" "$at/root"
		at=$at/root
		mount -t proc proc "$at/proc"
		mount --rbind /dev "$at/dev"
		mount -t tmpfs tmpfs "$at/run"
		cp /etc/resolv.conf "$at/etc/resolv.conf"
		while [[ $1 == --bind ]]; do
			mkdir -p "$at/${2#*:}"
			mount --bind "${2%%:*}" "$at/${2#*:}"
			shift 2
		done
		exec chroot "$at" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
			LC_ALL=C.UTF-8 "$@"' in_root "$root" "$@"
}
