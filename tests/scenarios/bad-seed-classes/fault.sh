truncate -s 64M "$STICK"
# A label that no seed has.
mformat -i "$STICK" -F -v FIXTURES ::
mcopy -i "$STICK" -s "$FIXTURES/good" "$FIXTURES/bad" ::
