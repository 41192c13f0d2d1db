. "$LIB"
has "$RESULT" 'Addresses:     10.0.2.15'
has "$RESULT" '10.0.2.15/24 by 10.0.2.2'
# An address that DHCP gave is called dynamic and ends.
has "$ANSWERS" '10.0.2.15/24'
lacks "$ANSWERS" dynamic
has "$ANSWERS" '): 10.0.2.3'
