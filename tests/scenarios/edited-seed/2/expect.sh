. "$LIB"
has "$ANSWERS" 'Europe/Ljubljana'
