#!/bin/sh
# Installs Mesa's software Vulkan driver if no Vulkan driver is there and apt is, so
# that the GPU tests can run. Says what it does; where it can't, the tests skip.
set -eu
driver() {
	[ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && return 0
	for dir in /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/share/vulkan/icd.d; do
		for file in "$dir"/*.json; do
			[ -e "$file" ] && return 0
		done
	done
	return 1
}
loader() { ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; }

[ "$(uname -s)" = Linux ] || exit 0
if driver && loader; then
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "no Vulkan driver found and no apt: the GPU tests will be skipped"
	exit 0
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "no Vulkan driver found, and no right to install one: the GPU tests will be skipped"; exit 0; }
	sudo=sudo
fi
echo "no Vulkan driver found: installing Mesa's software driver (apt-get install mesa-vulkan-drivers libvulkan1)"
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1 >/dev/null
