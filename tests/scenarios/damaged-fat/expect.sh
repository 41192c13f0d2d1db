. "$LIB"
has "$CONSOLE" 'cannot read the seed'
nobody_is_there
