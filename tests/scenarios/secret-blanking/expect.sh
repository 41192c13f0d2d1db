. "$LIB"
has "$RESULT" 'are empty now'
lacks "$RESULT" 'still holds'
mtype -i "$SEED" ::setup.txt >left.txt
sed -e 's/^\(OPENROUTER_API_KEY\|TELEGRAM_BOT_TOKEN\|CLAWDIE_USER_PASSWORD\)=.*/\1=/' "$SETUP" |
    cmp - left.txt || fail "setup.txt is not what it was, without its secrets"
root_has /etc/colibri/provider.env "$OPENROUTER_API_KEY"
root_file /var/lib/clawdie/journal >journal.before
