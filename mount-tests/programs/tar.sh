#!/usr/bin/env bash
# tar of a tree like that of a Linux system, created and extracted on the mounts: sparse files, hard links, extended attributes, modes,
# owners and (as root) devices. Needs tar and attr.
source "$(dirname "$0")/common.bash"
need tar tar
need setfattr attr

source=$local/source
mkdir -p "$source"/{bin,dev,etc/ssl/certs,usr/{bin,lib/deep/{1,2,3},share},var/log,tmp,home/me}
cp /bin/ls "$source/bin/ls"
cp /bin/sh "$source/bin/sh"
ln -s ../../bin/sh "$source/usr/bin/sh"
ln "$source/bin/ls" "$source/usr/bin/dir"
ln "$source/bin/ls" "$source/usr/bin/vdir"
for number in $(seq 600); do
    echo "setting $number = $RANDOM" >"$source/usr/lib/deep/$((number % 3 + 1))/$number.conf"
done
for number in $(seq 100); do ln -s "../../../usr/share/$number.pem" "$source/etc/ssl/certs/$number.0"; done
long=$(printf 'a%.0s' $(seq 200))
mkdir -p "$source/usr/share/$long/$long"
echo deep >"$source/usr/share/$long/$long/$long"
truncate -s 50M "$source/var/log/lastlog"
printf 'entry' | dd of="$source/var/log/lastlog" bs=1 seek=30000000 conv=notrunc status=none
truncate -s 7M "$source/var/log/only-a-hole"
mkfifo "$source/tmp/pipe"
chmod 1777 "$source/tmp"
chmod 4755 "$source/bin/sh"
chmod 600 "$source/usr/lib/deep/1/3.conf"
setfattr -n user.comment -v 'a word' "$source/usr/lib/deep/1/3.conf"
setfattr -n user.on_a_directory -v yes "$source/home/me"
touch -d '2003-03-03 03:03:03.123456789Z' "$source/home/me"
touch -h -d '2004-04-04 04:04:04.000000004Z' "$source/usr/bin/sh"
if [ "$(id -u)" = 0 ]; then
    mknod "$source/dev/null" c 1 3
    mknod "$source/dev/sda" b 8 0
    chmod 666 "$source/dev/null"
    chown -R 1000:1000 "$source/home/me"
    setfattr -n trusted.secret -v known "$source/usr/lib/deep/2/1.conf"
fi
how=(--format=pax --sparse --xattrs "--xattrs-include=*" --numeric-owner --atime-preserve=system)

tar --create "${how[@]}" -C "$source" --file "$local/source.tar" .
mkdir "$a/tree" "$local/back"
tar --extract -p --same-owner "${how[@]}" -C "$a/tree" --file "$local/source.tar" || fail "extracting on the mount failed"
same_tree "$source" "$a/tree"
same_tree "$source" "$b/tree"
tar --diff "${how[@]}" -C "$b/tree" --file "$local/source.tar" >"$local/diff" 2>&1 || fail "tar --diff: $(head -n 20 "$local/diff")"

# The archive on the mount, too, and from there to the local disk.
tar --create "${how[@]}" -C "$b/tree" --file "$b/tree.tar" . || fail "creating on the mount failed"
tar --extract -p --same-owner "${how[@]}" -C "$local/back" --file "$a/tree.tar" || fail "extracting from the mount failed"
same_tree "$source" "$local/back"

# What is compressed is read by another program while tar writes.
tar --create --gzip "${how[@]}" -C "$a/tree" --file "$a/tree.tar.gz" . || fail "tar --gzip failed"
gzip -t "$b/tree.tar.gz" || fail "the compressed archive is damaged"
rm -rf "$a/tree"
[ ! -e "$b/tree" ] || fail "the tree is still there"
