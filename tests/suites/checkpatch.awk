# SPDX-License-Identifier: GPL-2.0
#
# Of checkpatch.pl's complaints (--terse --showfile --show-types, each behind the name
# of the mail and a tab), print those that
# the file of exceptions does not cover, and the exceptions that cover nothing.

function glob(pattern)
{
	gsub(/[.+^$(){}|\\\[\]]/, "\\\\&", pattern)
	gsub(/\*/, ".*", pattern)
	return "^" pattern "$"
}

BEGIN {
	while ((getline line < exceptions) > 0) {
		if (line ~ /^#/ || line ~ /^[ \t]*$/)
			continue
		if (split(line, word, /[ \t]+/) < 4 || word[3] != "#") {
			print exceptions ": no reason, or not 'file TYPE # why': " line
			bad = 1
		}
		file[++count] = word[1]
		type[count] = word[2]
	}
}

# mail <tab> file:line: LEVEL:TYPE: text
match($2, /: (ERROR|WARNING|CHECK):[A-Z0-9_]+: /) {
	split(substr($2, RSTART + 2), word, ":")
	path = $2
	sub(/:.*/, "", path)
	covered = 0
	for (i = 1; i <= count; i++)
		if ((path ~ glob(file[i]) || $1 ~ glob(file[i])) && word[2] == type[i])
			covered = used[i] = 1
	if (covered)
		next
}

# Also what is no complaint: then checkpatch itself failed.
{
	print
	bad = 1
}

END {
	for (i = 1; i <= count; i++) {
		if (!used[i]) {
			print exceptions ": covers nothing any more: " file[i] " " type[i]
			bad = 1
		}
	}
	exit bad
}
