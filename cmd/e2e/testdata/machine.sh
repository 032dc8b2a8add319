# machine.sh ROOT BOOT-ID CGROUP INIT…
#
# Runs as the first process of new namespaces (mount, PID, UTS, IPC) and becomes the
# init of a machine whose disk is the folder ROOT. It has the network of whoever
# starts it, and a boot id of its own. Nothing of it outlasts its namespaces but ROOT
# and the control group CGROUP.
set -e
root=$1 boot=$2 group=$3
shift 3
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
printf '%s\n' "$boot" >"$root.boot-id"
mount --bind "$root.boot-id" proc/sys/kernel/random/boot_id
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do
	touch dev/$node
	mount --bind /dev/$node dev/$node
done
mkdir dev/shm dev/pts run/lock
if [ -x lib/systemd/systemd ]; then
	# What would reach beyond the machine, or wait for a terminal that it has not.
	mkdir -p run/systemd/system
	for unit in systemd-sysctl systemd-modules-load systemd-binfmt console-getty getty-static getty@tty1; do
		ln -s /dev/null run/systemd/system/$unit.service
	done
fi
# A control group of its own, in the one hierarchy that systemd knows.
mount -t cgroup2 none sys
mkdir -p "sys/$group"
echo $$ >"sys/$group/cgroup.procs"
umount sys
exec unshare --cgroup sh -ec '
	mount -t sysfs -o ro sysfs sys
	[ ! -x lib/systemd/systemd ] || mount -t cgroup2 none sys/fs/cgroup
	exec chroot . "$@"' sh "$@"
