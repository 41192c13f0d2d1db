//! Places where a test lets the power go.
//!
//! Only builds with the feature `failpoints` look for them; a released program cannot be made to stop.

/// Says that a point has been reached. In a test build the machine is reset here when the environment variable
/// `CLAWDIE_FAILPOINT`, or else the file `/etc/clawdie/failpoint`, names the point. The file is removed first, so the
/// next boot runs through.
#[cfg(feature = "failpoints")]
pub(crate) fn reached(point: &str) {
    use std::path::Path;
    const FILE: &str = "/etc/clawdie/failpoint";

    let by_environment =
        std::env::var("CLAWDIE_FAILPOINT").is_ok_and(|wanted| wanted.trim() == point);
    let by_file = std::fs::read_to_string(FILE).is_ok_and(|wanted| wanted.trim() == point);
    if by_file {
        // The removal must outlive the reset, else every boot would end here.
        let removed = std::fs::remove_file(FILE).and_then(|()| {
            std::fs::File::open(Path::new(FILE).parent().unwrap_or(Path::new("/")))?.sync_all()
        });
        if let Err(error) = removed {
            eprintln!("failpoint {point}: cannot remove {FILE}, so going on: {error}");
            return;
        }
        // `b` resets at once, without syncing: as near to pulling the plug as software gets.
        if let Err(error) = std::fs::write("/proc/sysrq-trigger", "b") {
            eprintln!("failpoint {point}: cannot reset the machine: {error}");
        }
    }
    if by_environment || by_file {
        eprintln!("failpoint {point}: stopping");
        std::process::abort();
    }
}

/// Does nothing in a real build.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn reached(_point: &str) {}
