#!/usr/bin/env bash
# git: a clone of 10,000 files, commits on both mounts in turn, gc, and fsck --strict. Needs git.
source "$(dirname "$0")/common.bash"
need git git
export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.com GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.com
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
files=10000 rounds=2

git init -q --bare -b main "$local/origin.git"
awk -v files=$files 'BEGIN {
    print "commit refs/heads/main\ncommitter test <test@example.com> 1700000000 +0000\ndata 5\nfirst"
    for (number = 0; number < files; number++) {
        text = ""
        for (line = number % 40; line >= 0; line--) text = text "line " line " of file " number "\n"
        printf "M 100644 inline %d/%d/file-%d.txt\ndata %d\n%s\n", number % 10, int(number / 100), number, length(text), text
    }
}' | git -C "$local/origin.git" fast-import --quiet

git clone -q "file://$local/origin.git" "$a/work" || fail "clone failed"
[ "$(git -C "$b/work" ls-files | wc -l)" = $files ] || fail "not all files were cloned"
[ -z "$(git -C "$b/work" status --porcelain)" ] || fail "the clone is not clean as the other mount sees it"

for round in $(seq $rounds); do
    for mount in "$a" "$b"; do
        work=$mount/work
        echo "round $round on $mount" >>"$work/0/0/file-0.txt"
        git -C "$work" mv "1/0/file-$((round * 10 - 9)).txt" "1/moved-$round-$(basename "$(dirname "$mount")").txt" 2>/dev/null ||
            echo "new" >"$work/1/new-$round.txt"
        git -C "$work" add -A
        git -C "$work" commit -q -m "round $round on $mount" || fail "commit failed on $mount"
        [ -z "$(git -C "$work" status --porcelain)" ] || fail "not clean after the commit on $mount"
    done
    [ "$round" != 1 ] || git -C "$a/work" gc --quiet || fail "gc failed"
done
[ "$(git -C "$a/work" rev-list --count HEAD)" = $((1 + 2 * rounds)) ] || fail "commits are missing"
[ "$(git -C "$a/work" rev-parse HEAD)" = "$(git -C "$b/work" rev-parse HEAD)" ] || fail "the mounts have different heads"
git -C "$b/work" gc --quiet --prune=now || fail "the second gc failed"
for mount in "$a" "$b"; do
    git -C "$mount/work" fsck --strict --full >"$local/fsck" 2>&1 || fail "fsck: $(head -n 5 "$local/fsck")"
    [ -z "$(git -C "$mount/work" status --porcelain)" ] || fail "not clean at the end on $mount"
done
git -C "$a/work" push -q origin main || fail "push failed"
git -C "$local/origin.git" fsck --strict --full >"$local/fsck" 2>&1 || fail "what was pushed is damaged: $(head -n 5 "$local/fsck")"
