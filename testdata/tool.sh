#!/bin/sh
# Makes sure that there is the command $1, and installs Debian's package $2 where there is none and
# apt is. Fails, and says so, where that can't be.
command -v "$1" >/dev/null && exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
if ! command -v apt-get >/dev/null || { [ -n "$sudo" ] && ! command -v sudo >/dev/null; }; then
	echo "$1 is missing, and it can't be installed here (package $2)"
	exit 1
fi
echo "$1 is missing: installing it (apt-get install $2)"
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends "$2" >/dev/null || { echo "$1 can't be installed"; exit 1; }
