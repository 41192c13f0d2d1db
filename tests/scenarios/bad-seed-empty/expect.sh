. "$LIB"
has "$RESULT" 'is empty'
nobody_is_there
