#!/usr/bin/env bash
# rsync -aHX there and back: hard links, symlinks, extended attributes, a fifo, a sparse file, odd times. Needs rsync and attr.
# (rsync_acls.sh is the same with -A.)
source "$(dirname "$0")/common.bash"
need rsync rsync
need setfattr attr
# By nanoseconds: else rsync takes times of one second for the same.
options=(-aHXS${WITH_ACLS:+A} --modify-window=-1)

source=$local/source
mkdir -p "$source"/{plain,deep/er/and/deeper,empty,"with blank"}
for number in $(seq 300); do head -c $((number * 37)) /dev/urandom >"$source/plain/file-$number"; done
head -c 3000001 /dev/urandom >"$source/deep/er/and/deeper/big"
printf 'x' >"$source/with blank/"$'new\nline'
ln "$source/plain/file-1" "$source/deep/hard-link"
ln "$source/plain/file-1" "$source/deep/er/another"
ln -s ../plain/file-2 "$source/deep/symlink"
ln -s /nowhere/at/all "$source/dangling"
ln -s plain "$source/to-a-directory"
mkfifo -m 640 "$source/fifo"
truncate -s 20M "$source/sparse"
printf 'island' | dd of="$source/sparse" bs=1 seek=9000000 conv=notrunc status=none
setfattr -n user.colour -v blue "$source/plain/file-3"
setfattr -n user.empty "$source/plain/file-3"
setfattr -n user.big -v "$(head -c 3000 /dev/zero | tr '\0' x)" "$source/deep"
chmod 4711 "$source/plain/file-4"
chmod 2775 "$source/deep"
chmod 1777 "$source/empty"
chmod 000 "$source/plain/file-5"
if [ "$(id -u)" = 0 ]; then
    chown 1:2 "$source/plain/file-6"
    chown -h 12345:54321 "$source/dangling"
fi
if [ -n "${WITH_ACLS:-}" ]; then
    need setfacl acl
    setfacl -m u:1:rw,g:2:r "$source/plain/file-7"
    setfacl -m u:1:rwx -m d:u:1:rwx,d:g:2:rx "$source/deep/er"
fi
touch -d '1969-12-31 23:59:58.123456789Z' "$source/plain/file-8"
touch -d '2001-02-03 04:05:06.000000001Z' "$source/plain/file-9"
touch -d '2100-01-01 00:00:00.999999999Z' "$source/plain/file-10"
touch -h -d '1999-09-09 09:09:09.9Z' "$source/deep/symlink"
touch -d '1980-01-01 00:00:00.5Z' "$source/empty" "$source/deep/er"

# FROM TO: nothing is left to do.
nothing_left() {
    rsync "${options[@]}" -n --delete --itemize-changes --checksum "$1/" "$2/" >"$local/left" || fail "the second rsync from $1 to $2 failed"
    [ ! -s "$local/left" ] || fail "from $1 to $2 rsync would still do: $(head -n 20 "$local/left")"
}
mkdir "$local/back"
rsync "${options[@]}" "$source/" "$a/there/" || fail "rsync to the mount failed"
nothing_left "$source" "$a/there"
nothing_left "$source" "$b/there"
same_tree "$source" "$b/there"
rsync "${options[@]}" "$b/there/" "$local/back/" || fail "rsync from the mount failed"
nothing_left "$source" "$local/back"
same_tree "$source" "$local/back"

# A change: rsync writes a new file and renames it over the old one.
printf 'more' >>"$source/plain/file-20"
rm -r "$source/with blank"
rsync "${options[@]}" --delete "$source/" "$b/there/" || fail "the third rsync failed"
nothing_left "$source" "$a/there"
printf 'more' >>"$source/deep/er/and/deeper/big"
rsync "${options[@]}" --inplace --no-whole-file "$source/" "$a/there/" || fail "rsync --inplace failed"
nothing_left "$source" "$b/there"
