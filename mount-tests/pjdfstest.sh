#!/usr/bin/env bash
# pjdfstest: what POSIX asks of each system call that concerns a filesystem, as root, as other users, and on a mount that is
# read-only for a moment. Every test must pass, or stand in pjdfstest/exceptions.txt with a reason; one that stands there as
# skipped and is not skipped is an error, too.
#
# usage: mount-tests/pjdfstest.sh     (about 10 s; only root can run it)
# Needs pjdfstest (cargo install --locked pjdfstest@0.2.2) and fuse3. Leaves nothing behind. WEFT_BIN_DIR names a folder with weft,
# else it is built.
source "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || fail "only root can become other users and mount again; run it as root"
need pjdfstest "cargo install --locked pjdfstest@0.2.2"
need fusermount3 "apt install fuse3"
find_binaries

chmod 755 "$folder" # the other users have to get in
mount_local mnt --allow-other
mkdir "$folder/second"
mount -t tmpfs second "$folder/second"
others+=("$folder/second")

# `mount -o remount` without the helper that mount(8) has for filesystems of this type: the kernel does it.
mkdir "$folder/bin"
cat >"$folder/bin/mount" <<SH
#!/bin/sh
exec $(command -v mount) -i "\$@"
SH
chmod +x "$folder/bin/mount"

# CONFIG [PATTERN]: its output goes to $folder/CONFIG.txt.
run() {
    RUST_BACKTRACE=0 PATH=$folder/bin:$PATH pjdfstest -c "$here/pjdfstest/$1.toml" -p "$folder/mnt" -s "$folder/second" "${@:2}" \
        >"$folder/$1.txt" 2>&1 || true
    grep '^Summary' "$folder/$1.txt" || { cat "$folder/$1.txt" >&2; fail "pjdfstest did not come to its end"; }
}
# Other tests leave files open, and nothing is made read-only while a file that was removed is open: so those that need it run alone.
run pjdfstest
run remount erofs

outputs=("$folder/pjdfstest.txt" "$folder/remount.txt")
tests() { sed -n "s/^\([A-Za-z0-9_:]*\) *$1\$/\1/p" "${outputs[@]}" | sort -u; } # STATE: names of the tests that were left in it
listed() { awk -v what="$1" '!/^#/ && $2 == what { print $1 }' "$here/pjdfstest/exceptions.txt" | sort -u; }
tests ok >"$folder/passed"
tests FAILED | comm -23 - <(listed either) >"$folder/failed"
tests skipped | comm -23 - "$folder/passed" >"$folder/skipped"
if [ -s "$folder/failed" ]; then
    grep -v ' ok$' "${outputs[@]}" >&2
    fail "failed: $(paste -sd' ' "$folder/failed")"
fi
unlisted=$(comm -23 "$folder/skipped" <(listed skipped) | paste -sd' ')
[ -z "$unlisted" ] || fail "skipped, and not in exceptions.txt: $unlisted"
stale=$(comm -13 "$folder/skipped" <(listed skipped) | paste -sd' ')
[ -z "$stale" ] || fail "not skipped any more, but in exceptions.txt: $stale"
passed=$(wc -l <"$folder/passed")
[ "$passed" -ge 390 ] || fail "only $passed tests passed; are all run, and is their output understood?"
echo "pjdfstest.sh: $passed tests passed, $(wc -l <"$folder/skipped") skipped with a reason"
