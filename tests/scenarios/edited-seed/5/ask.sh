colibri service-check
