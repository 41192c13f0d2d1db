//! Fast, smart, max: one way, one step at a time.

use colibri_protocol::CostMode;

/// The next dearer mode; none above `max`. Nothing goes back by itself: a session
/// that needed more once would go up and down with every turn.
pub fn next(mode: CostMode) -> Option<CostMode> {
    match mode {
        CostMode::Fast => Some(CostMode::Smart),
        CostMode::Smart => Some(CostMode::Max),
        CostMode::Max => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_up_passes_every_mode_once_and_ends() {
        let way: Vec<_> = std::iter::successors(Some(CostMode::Fast), |&mode| next(mode)).collect();
        assert_eq!(way, CostMode::ALL);
    }
}
