. "$LIB"
has "$RESULT" 'line 3, column 20'
has "$CONSOLE" 'line 3, column 20'
nobody_is_there
