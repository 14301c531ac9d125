#!/usr/bin/env bash
# Real programs on two mounts of one volume of one weftd over loopback: each script in programs/ runs one of them, with both
# mountpoints as its arguments, and says what is wrong.
#
# usage: mount-tests/programs.sh [NAME...]     (all but those in programs/not-yet.txt unless named; about 3 minutes)
# Needs fuse3, and of each script what its first lines say. Leaves nothing behind. WEFT_BIN_DIR names a folder with weft and weftd,
# else they are built.
source "$(dirname "$0")/lib.sh"

need fusermount3 "apt install fuse3"
names=("$@")
if [ ${#names[@]} = 0 ]; then
    for file in "$here"/programs/*.sh; do
        name=$(basename "$file" .sh)
        grep -q "^$name\b" "$here/programs/not-yet.txt" || names+=("$name")
    done
fi
for name in "${names[@]}"; do [ -x "$here/programs/$name.sh" ] || fail "there is no programs/$name.sh"; done
find_binaries

start_server
"$weft" volume create "weft://$manager/programs" >/dev/null
mount_volume programs a
mount_volume programs b
mkdir "$folder/local"
export TMPDIR=$folder/local

failed=()
for name in "${names[@]}"; do
    began=$SECONDS
    if "$here/programs/$name.sh" "$folder/a" "$folder/b" </dev/null >"$folder/$name.txt" 2>&1; then
        echo "programs.sh: $name: as it has to be ($((SECONDS - began)) s)"
    else
        echo "programs.sh: $name FAILED ($((SECONDS - began)) s):"
        tail -n 20 "$folder/$name.txt"
        failed+=("$name")
    fi
done
for mount in "${mounts[@]}"; do "$weft" umount "$mount"; done
[ ${#failed[@]} = 0 ] || fail "failed: ${failed[*]}"
