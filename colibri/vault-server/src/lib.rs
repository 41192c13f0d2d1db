//! A small Vaultwarden, for tests.
