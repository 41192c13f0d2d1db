. "$LIB"
has "$ANSWERS" 'Europe/Ljubljana'
has "$RESULT" 'are empty now'
root_has /etc/colibri/provider.env "$OPENROUTER_API_KEY"
root_has /etc/colibri/provider.env "$TELEGRAM_BOT_TOKEN"
