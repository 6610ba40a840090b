# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the scripts that boot guests share: an image with fio and the engine.

fio_engines=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VM=${VM:-$fio_engines/../tests/vm}

# make_image IMAGE ENGINE.so FIO [FILE:PATH ...]
make_image()
{
	local image=$1 engine=$2 fio=$3 liburing
	shift 3
	[[ -x $VM/run && -x $VM/mkimage ]] || {
		echo "no guest runner in $VM: say where with VM=" >&2
		return 1
	}
	# fio loads the engine, so the image builder cannot see what that needs.
	liburing=$(ldd "$engine" | awk '/liburing.so/ { print $3 }')
	"$VM/mkimage" -o "$image" "$(command -v "$fio")":/usr/bin/fio \
		"$engine:/usr/lib/io_uring_regbuf.so" "$(realpath "$liburing"):$liburing" "$@"
}
