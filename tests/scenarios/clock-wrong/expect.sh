. "$LIB"
year=$(head -n 1 "$ANSWERS")
[ "$year" -ge 2025 ] || fail "the clock still says $year"
has "$ANSWERS" running
