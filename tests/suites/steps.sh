# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# For scripts that run in a Debian system: steps that are told and counted. Each is a line "ok",
# "skip" or "FAILED". To be sourced.

passed=0 failed=0 skipped=0

# check WHAT COMMAND...: the output of what fails, and the last line of what is skipped, is shown.
# The status that says "skipped" is SKIPPED, if that is set.
check()
{
	local what=$1 output status=0
	shift
	output=$("$@" 2>&1 </dev/null) || status=$?
	if [[ $status == 0 ]]; then
		echo "ok $what"
		passed=$((passed + 1))
	elif [[ $status == "${SKIPPED-}" ]]; then
		echo "skip $what: ${output##*$'\n'}"
		skipped=$((skipped + 1))
	else
		echo "FAILED $what (status $status)"
		printf '%s\n' "$output" | tail -n 25 | sed 's/^/  /'
		failed=$((failed + 1))
	fi
}

not()
{
	! "$@"
}

# says TEXT COMMAND...: it fails, and prints TEXT.
says()
{
	local text=$1 output
	shift
	if output=$("$@" 2>&1); then
		echo "this did not fail: $*"
		return 1
	fi
	grep -qF -e "$text" <<<"$output" && return
	printf '%s\n' "no \"$text\" in:" "$output"
	return 1
}

# The last line, and the status that goes with it
steps_end()
{
	echo "$passed passed, $failed failed, $skipped skipped"
	((failed == 0))
}
