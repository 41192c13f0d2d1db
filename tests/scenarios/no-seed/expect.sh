. "$LIB"
has "$RESULT" 'Clawdie first boot: NOT SET UP'
has "$RESULT" 'no setup.txt on'
nobody_is_there
