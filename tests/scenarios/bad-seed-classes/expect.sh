. "$LIB"
lacks "$ANSWERS" DIFFERS
has "$ANSWERS" "judged: $(find "$FIXTURES" -name "*.txt" | wc -l)"
