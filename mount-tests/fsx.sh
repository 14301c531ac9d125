#!/usr/bin/env bash
# fsx: random reads, writes, mappings, truncations, holes, copies… on one file, every byte of it compared with what it has to be; on a
# volume with pages of 64 KiB and on one with pages of 1 MiB. Meanwhile somebody reads the versions of the file that are under
# .history: each of them, once read, must be the same whenever it is read again, and none may go.
#
# usage: mount-tests/fsx.sh [--long]     a million operations, about 2 minutes; ten million
# Needs fsx (cargo install --locked fsx@0.3.2) and fuse3. Leaves nothing behind. WEFT_BIN_DIR names a folder with weft, else it is built.
source "$(dirname "$0")/lib.sh"

times=1
case "${1:-}" in
"") ;;
--long) times=10 ;;
*)
    echo "usage: $0 [--long]" >&2
    exit 2
    ;;
esac
need fsx "cargo install --locked fsx@0.3.2"
need fusermount3 "apt install fuse3"
find_binaries

# MOUNT FILE: reads versions that it picks until $MOUNT.done is there, and then all that it has ever read once more.
read_history() {
    local history=$1/.history/$2 version sum reads=0
    declare -A sums=()
    check() { # VERSION
        sum=$(sha256sum <"$history/$1") || fail "$history/$1, which was listed or read before, cannot be read"
        if [ "${sums[$1]:-$sum}" != "$sum" ]; then fail "$history/$1 was ${sums[$1]} and is $sum"; fi
        sums[$1]=$sum
        reads=$((reads + 1))
    }
    while [ ! -e "$1.done" ]; do
        for version in $(ls "$history" 2>/dev/null | shuf -n 2) $(printf '%s\n' "${!sums[@]}" | shuf -n 2); do check "$version"; done
        sleep 0.5
    done
    for version in "${!sums[@]}"; do check "$version"; done
    echo "fsx.sh: $(basename "$1")/$2: after $SECONDS s ${#sums[@]} of $(ls "$history" | wc -l) versions read $reads times, always the same"
}

# Operations of one run of fsx. It never unmaps all that it has mapped, so that the kernel has more to do with each operation.
piece=20000

# MOUNT FILE CONFIG FILE-SIZE OPERATIONS SEED
exercise() {
    local mount=$1 file=$2 config=$folder/$(basename "$1").$2.toml seed last=$(($6 + $5 / piece - 1))
    echo "fsx.sh: $(basename "$mount"): $5 operations of fsx/$3.toml on a file of at most $4 bytes, $piece each with seeds $6 to $last"
    { echo "flen = $4"; cat "$here/fsx/$3.toml"; } >"$config"
    rm -f "$mount.done"
    read_history "$mount" "$file" &
    local reader=$!
    for seed in $(seq "$6" $last); do
        fsx -f "$config" -N $piece -S "$seed" -P "$folder" "$mount/$file" >"$mount.$file.log" 2>&1 ||
            { kill $reader; fail "fsx found a fault, with seed $seed: $(tail -n 30 "$mount.$file.log")"; }
    done
    : >"$mount.done"
    wait $reader || fail "the history of $file changed"
}

# MOUNT FILE-SIZE SEED
volume() {
    trap - EXIT
    exercise "$1" cached cached "$2" $((480000 * times)) "$3"
    exercise "$1" published published "$2" $((20000 * times)) $(($3 + 5000))
}

mount_local pages-of-64KiB --page-size 64K
mount_local pages-of-1MiB --page-size 1M
set -m # each in a group of its own, which ends as a whole
volume "$folder/pages-of-64KiB" 300000 1000 &
pids+=($!)
volume "$folder/pages-of-1MiB" 3000000 2000 &
pids+=($!)
set +m
for _ in "${pids[@]}"; do wait -n || fail "a volume has a fault"; done
pids=()
for mount in "${mounts[@]}"; do "$weft" umount "$mount"; done
echo "fsx.sh: $((1000000 * times)) operations, all as they have to be ($SECONDS s)"
