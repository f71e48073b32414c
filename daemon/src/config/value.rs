//! Durations and sizes as people write them: `90s`, `1h30m`, `30d`; `512MiB`, `8GiB`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;

/// Longest duration: about a century, so that adding it to a time never overflows.
const DURATION_MAX_SECONDS: u64 = 100 * 366 * 24 * 3600;

/// The text is no duration or size.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ValueError {
    /// Not a duration.
    #[error("{0:?} is not a duration: write numbers with s, m, h, d or w, as in \"1h30m\"")]
    Duration(String),
    /// Not a size.
    #[error("{0:?} is not a size: write a number with B, KiB, MiB, GiB or TiB, as in \"8GiB\"")]
    Size(String),
}

/// Parses a duration.
///
/// # Errors
/// When the text is none, or it is zero or beyond a century.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let wrong = || ValueError::Duration(text.to_owned());
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit, after) = take_part(rest).ok_or_else(wrong)?;
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            "w" => 7 * 24 * 3600,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(factor).ok_or_else(wrong)?;
        seconds = seconds.checked_add(part).ok_or_else(wrong)?;
        rest = after;
    }
    if seconds == 0 || seconds > DURATION_MAX_SECONDS {
        return Err(wrong());
    }
    Ok(Duration::from_secs(seconds))
}

/// Parses a size in bytes.
///
/// # Errors
/// When the text is none, or does not fit.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let wrong = || ValueError::Size(text.to_owned());
    let (number, unit, after) = take_part(text).ok_or_else(wrong)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    if !after.is_empty() {
        return Err(wrong());
    }
    number.checked_mul(factor).ok_or_else(wrong)
}

/// Splits a number, its unit and what follows off a text.
fn take_part(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, after))
}

pub(super) fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(input)?).map_err(D::Error::custom)
}

pub(super) fn size<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    parse_size(&String::deserialize(input)?).map_err(D::Error::custom)
}
