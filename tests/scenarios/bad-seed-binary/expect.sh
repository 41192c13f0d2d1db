. "$LIB"
# The same words as `seed check`: the fixture's first line.
has "$RESULT" "$(head -n 1 "$FIXTURES/bad/binary-junk.expect")"
nobody_is_there
