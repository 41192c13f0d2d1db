. "$LIB"
has "$RESULT" ALLOW_TELEGRAM_CHANGE=yes
root_has /etc/colibri/provider.env "$TELEGRAM_BOT_TOKEN"
