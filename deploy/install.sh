#!/bin/sh
# install.sh puts the restic-manager agent on this machine and makes it a service.
#
# The enrolment line of the server fetches this file, compares its digest with the one
# in the line, and runs it with the arguments of `restic-manager-agent install`; the
# one-time token comes on standard input. The server has written the digests of its
# programs into it, so that the line vouches for them as well, whatever the way.
# It may be run again: what is there already is not fetched.
set -eu
umask 022

# Written by the server: one program a line (name, system, machine, SHA-256, file), and
# its public key as curl wants it, where its certificate is self-made.
programs=''
pinned=''

place=/usr/local/bin/restic-manager-agent

die() {
	echo "install.sh: $*" >&2
	exit 1
}

server=''
before=''
for argument; do
	[ "$before" != --server ] || server=$argument
	before=$argument
done
[ -n "$server" ] || die "it is run by the line that the server shows under Add host"
[ "$(id -u)" = 0 ] || die "root is needed: begin a root shell with sudo -i, and paste the line again"
[ "$(uname -s)" = Linux ] || die "this is for Linux; there is another line for Windows"

case $(uname -m) in
x86_64 | amd64) machine=amd64 ;;
aarch64 | arm64) machine=arm64 ;;
armv6l | armv7l) machine=arm ;;
i?86) machine=386 ;;
*) machine=$(uname -m) ;;
esac

# find_program NAME prints digest and file of the one for this machine.
find_program() {
	printf '%s\n' "$programs" | while read -r name system kind digest file; do
		if [ "$name $system $kind" = "$1 linux $machine" ]; then
			echo "$digest $file"
			break
		fi
	done
}

digest_of() {
	if command -v sha256sum >/dev/null; then
		sha256sum "$1" | cut -c1-64
	elif command -v openssl >/dev/null; then
		openssl dgst -sha256 -r "$1" | cut -c1-64
	else
		die "sha256sum is missing here: install coreutils"
	fi
}

# fetch URL FILE. What was fetched is trusted by its digest alone.
fetch() {
	if command -v curl >/dev/null; then
		if [ -n "$pinned" ]; then
			curl -fsS --connect-timeout 20 -k --pinnedpubkey "$pinned" -o "$2" "$1"
		else
			curl -fsS --connect-timeout 20 -o "$2" "$1"
		fi
	elif command -v wget >/dev/null; then
		if [ -n "$pinned" ]; then
			wget -q -T 60 --no-check-certificate -O "$2" "$1"
		else
			wget -q -T 60 -O "$2" "$1"
		fi
	else
		die "neither curl nor wget is here: install one of them"
	fi
}

# shellcheck disable=SC2046 # two words are wanted
set -- $(find_program restic-manager-agent) -- "$@"
[ "$1" != -- ] || die "the server has no agent for linux/$machine; its admin can add one (README, Programs)"
digest=$1
file=$2
shift 3

agent=$place
if [ ! -x "$place" ] || [ "$(digest_of "$place")" != "$digest" ]; then
	mkdir -p "${place%/*}"
	agent=$(mktemp "${place%/*}/.restic-manager-agent.XXXXXX")
	trap 'rm -f "$agent"' EXIT
	trap 'exit 1' HUP INT TERM
	echo "fetching the agent: $server/install/$file"
	fetch "$server/install/$file" "$agent" </dev/null || die "the agent was not fetched from $server/install/$file"
	[ "$(digest_of "$agent")" = "$digest" ] ||
		die "what the server sent as $file does not have the digest of the line: make a new line under Add host"
	chmod 755 "$agent"
fi

# shellcheck disable=SC2046
set -- $(find_program restic) -- "$@"
if [ "$1" = -- ]; then
	shift
else
	digest=$1
	file=$2
	shift 3
	set -- --restic-sha256 "$digest" --restic-file "$file" "$@"
fi
"$agent" install "$@"
