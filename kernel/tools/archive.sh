# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The Debian archive, for the scripts that fetch from it: which mirror this machine's
# apt uses, and apt with a configuration of its own. Signatures are checked against
# debian-archive-keyring; apt's own configuration and lists stay untouched. To be sourced.

# The override is there for the test, which signs an archive of its own.
# shellcheck disable=SC2034 # for those who source this
readonly keyring=${FOLIO_RUNS_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}

# Debian's own archive among the sources of this machine. apt reads its two
# formats for us; which of the rest is Debian shows in the name of the suite.
find_mirrors()
{
	local codename
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	apt-get update --print-uris 2>/dev/null |
		sed -nE "s,^'(.*)/dists/(${codename:-stable}|(old)*stable|testing|trixie|forky|sid|unstable)(-updates|-backports)?/(InRelease|main/.*)' .*,\1,p" |
		awk '!seen[$0]++'
}

# private_apt_setup DIR: an apt that looks at DIR/sources.list alone.
private_apt_setup()
{
	private=$1
	mkdir -p "$private"/{state/lists/partial,cache/archives/partial}
	: >"$private/status"
	cat >"$private/apt.conf" <<-END
		Dir::State "$private/state";
		Dir::State::Lists "$private/state/lists";
		Dir::State::status "$private/status";
		Dir::Cache "$private/cache";
		Dir::Etc::SourceList "$private/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::Etc::Preferences "/dev/null";
		Dir::Etc::PreferencesParts "/dev/null";
		APT::Default-Release "";
		APT::Sandbox::User "$(id -un)";
		APT::Get::AllowUnauthenticated "false";
		Acquire::AllowInsecureRepositories "false";
		Acquire::AllowWeakRepositories "false";
		Acquire::Languages "none";
		Acquire::Retries "2";
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	END
}

private_apt()
{
	local tool=$1
	shift
	"$tool" -c "$private/apt.conf" "$@"
}
