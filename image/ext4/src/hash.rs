//! The half-MD4 hash that orders the entries of an indexed directory (`fs/ext4/hash.c`).

/// The highest hash means "end of directory" to readers, so no name may have it.
const END: u32 = 0x7fff_ffff << 1;

/// The hash of a name and its continuation, for `signed` characters as on x86.
pub(crate) fn half_md4(name: &[u8], seed: &[u8; 16]) -> (u32, u32) {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    if seed != &[0; 16] {
        for (word, bytes) in state.iter_mut().zip(seed.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
    }
    let mut rest = name;
    while !rest.is_empty() {
        transform(&mut state, &words(rest));
        rest = rest.get(32..).unwrap_or_default();
    }
    let major = state[1] & !1;
    let major = if major == END { END - 2 } else { major };
    (major, state[2])
}

/// The next 32 bytes of a name as words, padded with its remaining length.
fn words(rest: &[u8]) -> [u32; 8] {
    let len = rest.len() as u32;
    let pad = len | len << 8;
    let pad = pad | pad << 16;
    let mut words = [pad; 8];
    for (word, part) in words.iter_mut().zip(rest.chunks(4)) {
        *word = part.iter().fold(pad, |value, &byte| {
            (value << 8).wrapping_add(i32::from(byte as i8) as u32)
        });
    }
    words
}

fn transform(state: &mut [u32; 4], input: &[u32; 8]) {
    type Mix = fn(u32, u32, u32) -> u32;
    const ROUNDS: [(Mix, u32, [usize; 8], [u32; 4]); 3] = [
        (
            |x, y, z| z ^ (x & (y ^ z)),
            0,
            [0, 1, 2, 3, 4, 5, 6, 7],
            [3, 7, 11, 19],
        ),
        (
            |x, y, z| (x & y).wrapping_add((x ^ y) & z),
            0x5a82_7999,
            [1, 3, 5, 7, 0, 2, 4, 6],
            [3, 5, 9, 13],
        ),
        (
            |x, y, z| x ^ y ^ z,
            0x6ed9_eba1,
            [3, 7, 2, 6, 1, 5, 0, 4],
            [3, 9, 11, 15],
        ),
    ];
    let mut turn = *state;
    for (mix, constant, order, shifts) in ROUNDS {
        for (step, index) in order.into_iter().enumerate() {
            let [a, b, c, d] = turn;
            let mixed = a
                .wrapping_add(mix(b, c, d))
                .wrapping_add(input[index])
                .wrapping_add(constant)
                .rotate_left(shifts[step % 4]);
            turn = [d, mixed, b, c];
        }
    }
    for (word, value) in state.iter_mut().zip(turn) {
        *word = word.wrapping_add(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `debugfs -R 'dx_hash -h half_md4 -s UUID NAME'` says; its sign of characters is x86's.
    #[test]
    fn hashes_are_those_of_debugfs() {
        let seed = *b"fedcba9876543210";
        for (name, hash) in [
            ("a".to_owned(), (0x54ec_c132, 0x2862_a460)),
            ("file-number-525".to_owned(), (0x020c_f6fa, 0x6d25_41e1)),
            ("n".repeat(255), (0x2044_eb7c, 0x967a_5298)),
            ("x".repeat(32), (0x66ff_5312, 0x709a_9131)),
            ("y".repeat(33), (0xa322_0a82, 0x414f_45ca)),
            ("Ünïcode".to_owned(), (0x00a9_4e42, 0xaf16_526c)),
        ] {
            assert_eq!(half_md4(name.as_bytes(), &seed), hash, "{name}");
        }
        assert_eq!(half_md4(b"abc", &[0; 16]), (0xd196_a868, 0xc420_eb28));
    }
}
