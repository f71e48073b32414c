//! The beginning of what is long: what agents tell is kept in a log of small records.

/// Longest text of a message that is recorded, in characters; all of it is in the agent's session.
pub(crate) const TEXT_CHARS_MAX: usize = 4000;

/// Longest command, path or failure that is recorded, in characters.
pub(crate) const LINE_CHARS_MAX: usize = 500;

/// What stands for the rest.
const REST: char = '…';

/// The first so many characters of a text.
pub(crate) fn beginning(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => {
            let kept = chars_max.saturating_sub(1);
            text.chars().take(kept).chain([REST]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_stays_and_what_is_long_says_so() {
        assert_eq!(beginning(" as it is\n", 9), "as it is");
        assert_eq!(beginning("ééééé", 5), "ééééé");
        assert_eq!(beginning("éééééé", 5), "éééé…");
    }
}
