//! What Colibri's two services, the daemon and the root helper, have in common: how they talk to the service
//! manager, what they log, which accounts there are, that there is one of each, and that no key comes out in what
//! agents print.

pub mod accounts;
pub mod blank;
pub mod lock;
pub mod log;
pub mod notify;
#[cfg(feature = "testing")]
pub mod testing;
