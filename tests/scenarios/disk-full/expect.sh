. "$LIB"
has "$CONSOLE" 'No space left'
