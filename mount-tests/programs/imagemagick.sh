#!/usr/bin/env bash
# ImageMagick writes a sequence of frames, twice, on one mount, and reads it on the other meanwhile: each frame that is there is a whole
# picture, the old or the new one. (It may be empty: ImageMagick makes or empties a file, closes it, and then opens it to write.) Each is
# read by one open, as who opens it twice may get two pictures. Needs imagemagick.
source "$(dirname "$0")/common.bash"
convert=/usr/bin/convert
[ -x $convert ] || fail "convert is missing (apt install imagemagick)"
frames=12

write_frames() { # SEED
    local number
    for number in $(seq $frames); do
        $convert -seed "$1$number" -size 320x240 plasma:fractal -depth 8 "$a/frame-$number.png" || exit 1
        $convert -seed "$1$number" -size 160x120 plasma:fractal -quality 95 "$a/frame-$number.jpg" || exit 1
    done
}
(
    trap - EXIT
    write_frames 1
    write_frames 2
) &
writer=$!
children+=($writer)

decoded=0
while kill -0 $writer 2>/dev/null; do
    for frame in "$b"/*.png "$b"/*.jpg; do
        copy=$local/seen.${frame##*.}
        [ -e "$frame" ] || continue # the pattern itself, while there is none
        cat "$frame" >"$copy" || fail "$frame cannot be read"
        [ -s "$copy" ] || continue
        size=$($convert -regard-warnings "$copy" -format '%wx%h' info: 2>"$local/error") || fail "$frame is no whole picture: $(cat "$local/error")"
        case $frame in
        *.png) [ "$size" = 320x240 ] || fail "$frame is $size" ;;
        *) [ "$size" = 160x120 ] || fail "$frame is $size" ;;
        esac
        decoded=$((decoded + 1))
    done
done
wait $writer || fail "writing failed"
[ $decoded -gt $frames ] || fail "only $decoded frames were read meanwhile"

# All frames as one moving picture, from one mount to the other.
$convert -delay 4 $(seq -f "$b/frame-%g.png" $frames) "$b/show.gif" || fail "the frames cannot be joined"
[ "$($convert "$a/show.gif" -format 'x' info: | tr -d '\n' | wc -c)" = $frames ] || fail "frames are missing in the moving picture"
for number in $(seq $frames); do cmp "$a/frame-$number.png" "$b/frame-$number.png" || fail "frame $number differs"; done
echo "$decoded frames read while they were written"
