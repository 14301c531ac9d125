#!/usr/bin/env bash
# How editors save: vim by a copy and by a rename, with and without backup; and as Emacs does it, with a lock that is a symlink, a
# backup that is a link, and a new file that is synced and renamed over the old one. Somebody on the other mount reads
# all the time and must always see a whole text. Needs vim (vim-tiny will do).
source "$(dirname "$0")/common.bash"
vim=$(command -v vim || command -v vim.tiny) || fail "vim is missing (apt install vim-tiny)"
lines=5000

text() { seq -f "line %g of $1" $lines; }

# EX-COMMANDS...: edits $a/text.
edit() {
    local commands=() command
    for command in "$@"; do commands+=(-c "$command"); done
    "$vim" -N -u NONE -i NONE -es "${commands[@]}" -c 'x' "$a/text" </dev/null || fail "vim failed: $*"
}

text start >"$a/text"
chmod 640 "$a/text"
edit 'set backup backupskip= backupcopy=yes' '%s/start/copied/'
cmp "$b/text" <(text copied) || fail "the copying save is not what was saved"
cmp "$b/text~" <(text start) || fail "the backup is not what was there before"
edit 'set backup backupskip= backupcopy=no' '%s/copied/renamed/'
cmp "$b/text" <(text renamed) || fail "the renaming save is not what was saved"
cmp "$b/text~" <(text copied) || fail "the second backup is not what was there before"
rm "$b/text~"
edit 'set nobackup writebackup' '%s/renamed/plain/'
cmp "$a/text" <(text plain) || fail "the save without backup is not what was saved"
[ ! -e "$a/text~" ] || fail "vim left a backup"
[ "$(stat -c %a "$b/text")" = 640 ] || fail "vim changed the mode to $(stat -c %a "$b/text")"
[ -z "$(find "$b" -name '.*.sw?')" ] || fail "vim left a swap file"

# Whole is: all lines of one text.
whole() {
    awk -v lines=$lines '
        $2 != NR { print "line " NR " is: " $0; bad = 1; exit }
        NR > 1 && $NF != last { print "line " NR " is of " $NF ", the one before of " last; bad = 1; exit }
        { last = $NF }
        END { if (!bad && NR != lines) { print NR " lines"; bad = 1 } exit bad }' "$1"
}
(
    trap - EXIT
    while [ ! -e "$local/done" ]; do whole "$b/text" >"$local/bad" 2>&1 || exit 1; done
) &
reader=$!
children+=($reader)
for round in $(seq 20); do
    ln -s "me@here.$$:$round" "$a/.#text" || fail "the lock cannot be taken"
    ! ln -s "you@there" "$b/.#text" 2>/dev/null || fail "the lock was taken twice"
    text "round-$round" >"$a/#text#"
    sync "$a/#text#"
    ln -f "$a/text" "$a/text~"
    chmod --reference="$a/text" "$a/#text#"
    mv -f "$a/#text#" "$a/text"
    rm "$a/.#text"
    cmp "$b/text" <(text "round-$round") || fail "round $round is not what was saved"
    [ "$round" = 1 ] || cmp "$b/text~" <(text "round-$((round - 1))") || fail "the backup of round $round is not what was there before"
    # And vim, in between: the file has two names, so it is written in place.
    "$vim" -N -u NONE -i NONE -es -c "set backupcopy=auto" -c "%s/round-$round/round-$round/" -c x "$a/text" </dev/null || fail "vim failed"
done
: >"$local/done"
wait $reader || fail "the other mount saw half a text: $(cat "$local/bad")"
